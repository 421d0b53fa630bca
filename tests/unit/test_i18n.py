"""Languages: which one is chosen, and that each context has its own."""

import contextvars
import threading

import pytest

from dashboard import i18n
from dashboard.i18n import choose, gettext, language, set_language, speaking, system_language

KNOWN = "There is no such field. Known: %(names)s."


@pytest.mark.parametrize(("tags", "expected"), [
    (["zh-CN"], "zh"), (["zh_Hans_CN.UTF-8"], "zh"), (["zh-TW", "en"], "zh"), (["fr-FR", "en-GB", "zh"], "en"),
    (["EN"], "en"), (["Chinese (Simplified)_China"], "zh"), (["fr", "C"], None), ([], None), ([""], None),
    (["zhuang"], None), (["english"], None),
])
def test_the_first_language_that_we_speak(tags: list[str], expected: str | None) -> None:
    assert choose(tags) == expected


@pytest.mark.parametrize(("environment", "expected"), [
    ({"LC_ALL": "zh_CN.UTF-8", "LANG": "en_US.UTF-8"}, "zh"), ({"LANG": "en_US.UTF-8"}, "en"),
    ({"LC_MESSAGES": "zh_CN"}, "zh"), ({"LANG": "C.UTF-8"}, "en"), ({"LANG": "de_DE"}, "en"),
])
def test_the_language_of_the_machine(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str],
                                     expected: str) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert system_language() == expected


def test_without_any_word_of_the_environment_there_is_a_language(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    assert system_language() in i18n.LANGUAGES


def test_speaking_is_undone_at_the_end_even_of_an_error() -> None:
    assert language() == "en"
    with pytest.raises(ValueError, match="x"), speaking("zh"):
        assert language() == "zh"
        raise ValueError("x")
    assert language() == "en"


def test_each_thread_and_context_has_its_own() -> None:
    told: list[str] = []
    with speaking("zh"):
        thread = threading.Thread(target=lambda: told.append(language()))
        thread.start()
        thread.join()
    contextvars.copy_context().run(set_language, "zh")
    assert told == ["en"]
    assert language() == "en"


def test_a_text_is_put_into_words_with_its_values() -> None:
    assert gettext(KNOWN, names="a, b") == "There is no such field. Known: a, b."
    with speaking("zh"):
        assert gettext(KNOWN, names="a, b") != "There is no such field. Known: a, b."
        assert "a, b" in gettext(KNOWN, names="a, b")


def test_a_value_with_a_percent_sign_stays_as_it_is() -> None:
    assert gettext(KNOWN, names="100%(names)s %d").endswith("100%(names)s %d.")
    assert gettext("nothing to fill: 100 %") == "nothing to fill: 100 %"


def test_a_text_that_nobody_translated_is_shown_in_english() -> None:
    with speaking("zh"):
        assert gettext("no catalogue has this sentence") == "no catalogue has this sentence"
