"""Each test gets a data folder of its own; whatever it started is ended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.outside import Outside


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    """A new, empty data folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    house = Outside(folder)
    try:
        yield house
    finally:
        house.end()
