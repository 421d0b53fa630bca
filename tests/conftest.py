"""Fixtures for every test: no setting of this machine gets in, and the language is English unless a test says so."""

import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from dashboard.i18n import DEFAULT, speaking

# A busy machine, or a first run without hypothesis's own cache, is no failure.
settings.register_profile("dingshi", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dingshi")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("DINGSHI_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    with speaking(DEFAULT):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport,
                                                                                           pytest.TestReport]:
    """In CI a skip is a failure, unless it is about Windows: what is not tried there is tried nowhere."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not reason.removeprefix("Skipped: ").startswith("Windows only"):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI: {reason}"
    return report
