"""The bounds of a run's output."""

from hypothesis import given
from hypothesis import strategies as st

from dashboard.engine.kept_output import HEAD_BYTES, TAIL_BYTES, KeptOutput, clean


def test_short_output_is_kept_whole() -> None:
    kept = KeptOutput()
    for part in ("你好", "", " world\n"):
        kept.add(part)
    assert kept.text() == "你好 world\n"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30), max_size=8),
       st.integers(0, 40_000))
def test_head_and_tail_are_kept_and_the_rest_is_counted(parts: list[str], filler: int) -> None:
    kept = KeptOutput()
    whole = ""
    for part in parts:
        text = part + "字" * filler
        kept.add(text)
        whole += text
    data, text = whole.encode(), kept.text()
    if len(data) <= HEAD_BYTES + TAIL_BYTES - 6:
        assert text == whole
    elif " bytes …\n" in text:
        head, tail = text.split("\n… ")[0], text.rsplit(" bytes …\n", 1)[1]
        count = int(text.split("\n… ")[1].split(" bytes")[0])
        assert whole.startswith(head) and whole.endswith(tail)
        assert len(head.encode()) + count + len(tail.encode()) == len(data)
        assert len(head.encode()) > HEAD_BYTES - 4
        assert TAIL_BYTES - 4 < len(tail.encode()) <= TAIL_BYTES


def test_a_flood_stays_bounded() -> None:
    kept = KeptOutput()
    for _ in range(200):
        kept.add("x" * 100_000)
    assert len(kept.text()) < HEAD_BYTES + TAIL_BYTES + 50
    assert f"{200 * 100_000 - HEAD_BYTES - TAIL_BYTES} bytes" in kept.text()


def test_what_no_store_takes_becomes_visible() -> None:
    assert clean("a\0b\ud800c😀") == "a␀b\N{REPLACEMENT CHARACTER}c😀"
