"""With `--once FILE` a test that passed is not run again: its name is in the file, to which each that passes is added.

So `.ci/run` runs in its last step what the bare machine could not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


class Once:
    """Leaves out the tests of these names; where there is a file, adds those that pass to it."""

    def __init__(self, passed: list[str], file: Path | None):
        self.passed, self.file = passed, file
        self._called: set[str] = set()
        self._failed: set[str] = set()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["once"] = self.passed

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        passed = set(self.passed)
        again = {item for item in items if item.nodeid in passed}
        items[:] = [item for item in items if item not in again]
        config.hook.pytest_deselected(items=list(again))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test has passed when all of it has: its subtests, and what cleans up behind it."""
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self._called.add(report.nodeid)
        if self.file and report.when == "teardown" and report.nodeid in self._called - self._failed:
            with self.file.open("a") as file:
                file.write(f"{report.nodeid}\n")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """That nothing is left to run is no error."""
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.passed:
            session.exitstatus = pytest.ExitCode.OK


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--once", type=Path, metavar="FILE", help="leave out the tests that FILE names; add those that pass"
    )


def pytest_configure(config: pytest.Config) -> None:
    if (file := config.getoption("--once")) is None:
        return
    if hasattr(config, "workerinput"):  # one of xdist's, which leaves out what all others do, and reports
        config.pluginmanager.register(Once(config.workerinput["once"], None), "every test once")
        return
    file = file.resolve()  # tests change the folder that they are in
    file.parent.mkdir(parents=True, exist_ok=True)
    passed = file.read_text().splitlines() if file.exists() else []
    config.pluginmanager.register(Once(passed, file), "every test once")
