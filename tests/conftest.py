"""Fixtures for every test: no setting of this machine gets in, and the language is English unless a test says so."""

import os
from collections.abc import Iterator

import pytest

from dashboard.i18n import DEFAULT, speaking


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("DINGSHI_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with speaking(DEFAULT):
        yield
