"""With CI=true a skipped test fails the run, unless its reason is one that CI may have.

A skip is how a missing install step stays hidden. Loaded by `make test` (`-p skips`).
"""

import os

import pytest

ALLOWED_REASONS = ("no GPU", "no TensorRT-RTX", "no golden set of the released MaMA")
unexpected: list[str] = []


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What the test gave as its reason: pytest reports (file, line, "Skipped: reason")."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def is_unexpected(report: pytest.TestReport | pytest.CollectReport) -> bool:
    """Say whether this is a skip for a reason not on the list; an expected failure is no skip."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return False
    return not skip_reason(report).startswith(ALLOWED_REASONS)


def note(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Remember an unexpected skip."""
    if is_unexpected(report):
        unexpected.append(f"{report.nodeid}: {skip_reason(report)}")


pytest_runtest_logreport = note
pytest_collectreport = note


def pytest_sessionfinish(session: pytest.Session) -> None:
    if unexpected and os.environ.get("CI") == "true":
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if unexpected and os.environ.get("CI") == "true":
        terminalreporter.section("skips that CI does not allow")
        for line in unexpected:
            terminalreporter.line(line)
