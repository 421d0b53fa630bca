"""Languages: every text of the program stands in both catalogues, complete, and compiled as it stands there."""

import re
from io import BytesIO

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo

from dashboard.i18n import CATALOGUES, LANGUAGES
from tests.tools.messages import catalogue, extract

PLACE = re.compile(r"%\((\w+)\)[a-z]")
TYPED = re.compile("[\u4e00-\u9fff]")
Key = tuple[str | None, str | tuple[str, ...]]


def key(message: Message) -> Key:
    ids = message.id
    return message.context, ids if isinstance(ids, str) else tuple(ids)


def strings(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return [value] if isinstance(value, str) else []


@pytest.fixture(scope="module")
def source() -> Catalog:
    return extract()


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_text_is_in_the_catalogue_and_nothing_else(code: str, source: Catalog) -> None:
    used = {key(message) for message in source if message.id}
    kept = {key(message) for message in catalogue(code) if message.id}
    assert used - kept == set(), "run: python -m tests.tools.messages FILE.json"
    assert kept - used == set(), "run: python -m tests.tools.messages"


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_text_is_translated_with_the_same_places(code: str) -> None:
    wrong = []
    for message in catalogue(code):
        if not message.id:
            continue
        sources, texts = strings(message.id), strings(message.string)
        if not texts or not all(text.strip() for text in texts) or message.fuzzy:
            wrong.append((message.id, "missing"))
            continue
        wanted = set().union(*(PLACE.findall(text) for text in sources))
        if any(set(PLACE.findall(text)) | {"n"} != wanted | {"n"} for text in texts):
            wrong.append((message.id, "other places"))
    assert wrong == []


def test_english_is_the_source_and_chinese_is_chinese() -> None:
    for message in catalogue("en"):
        if message.id:
            assert strings(message.string) == strings(message.id)
    names = re.compile(r"[A-Za-z0-9_.%() :,'-]*")
    left = [message.id for message in catalogue("zh") if message.id and strings(message.string) == strings(message.id)
            and not names.fullmatch(strings(message.id)[0])]
    assert left == []
    assert not [message.id for message in catalogue("en") if TYPED.search("".join(strings(message.id)))
                and not TYPED.search("".join(strings(message.string)))]


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_compiled_catalogue_is_that_of_its_source(code: str) -> None:
    compiled = BytesIO()
    write_mo(compiled, catalogue(code))
    assert (CATALOGUES / code / "LC_MESSAGES" / "messages.mo").read_bytes() == compiled.getvalue()
