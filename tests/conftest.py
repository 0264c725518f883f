"""What holds for every test: in CI a skip of our own parts is a failure."""

from __future__ import annotations

import os

import pytest

pytest.register_assert_rewrite("tests.support.retail_checking")

_MAY_BE_ABSENT = ("retail data is not at", "needs the right to mount", "there is no PostgreSQL server here")
"""Reasons that CI accepts: third-party data, rights that only root has, and what only the bench uses."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("CI") != "true":
        return
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr)
        if not any(words in reason for words in _MAY_BE_ABSENT):
            terminalreporter.write_line(f"SKIPPED IN CI: {report.nodeid}: {reason}", red=True)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None or exitstatus != 0:
        return
    skipped = [str(report.longrepr) for report in reporter.stats.get("skipped", [])]
    if any(not any(words in reason for words in _MAY_BE_ABSENT) for reason in skipped):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
