"""A skipped test is an answer that somebody must want. What was skipped is listed by reason at the end of a run; and
where `--skips` says what kind of run it is, a reason that is not in the list below fails it.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

RUNS = ("bare", "macos", "public", "full")
"""`make test` on a machine with Python, make and a C compiler; the same on a Mac; everything that anyone can install;
and that with the frozen cases, which are not public."""

EXTRAS = (
    r"coremltools|torch|diffusers|mflux|mkdocs|matplotlib|mpl_toolkits\.basemap_data"
    r"|axe_playwright_python|playwright\.sync_api|selenium\.webdriver|starlette"
    r"|torchvision|(cleanfid|lpips|pytorch_fid|scipy|skimage|stlpips_pytorch|torchmetrics)(\.\w+)*"
)

ALLOWED = {
    rf"could not import '({EXTRAS})'.*": ("bare", "macos"),
    "Core ML itself runs the package here": ("macos",),
    r"the package (lpips|scikit-image|stlpips-pytorch|vintagify) is not installed.*": ("bare", "macos"),
    r"no frozen cases.*": ("bare", "macos", "public"),
    r"no weights of TAEF2.*": ("bare", "macos", "public"),
    r"Graphviz is not installed": ("bare", "macos"),
    r"Chromium is not installed": ("bare", "macos"),
    r"WebKitGTK's driver and Xvfb are not installed": ("bare", "macos"),
    r"binutils are not installed": ("bare", "macos"),
    r"another architecture than x86-64": ("bare", "macos"),
    r"a machine without /(proc|dev/full)": ("macos",),
    r"this file system allows text alone": ("macos",),
    r"this machine's GPU is measured, too": ("macos",),
    r".* is not a real GPU.*": ("macos",),
    r"this machine has a GPU": ("macos",),
    r"its file systems take only UTF-8 names": ("macos",),
}
"""The runs in which a reason, a regular expression, may keep tests from running: nothing in the full one."""


def allowed(reason: str, run: str) -> bool:
    """Whether a test may be skipped for this reason in this run."""
    return any(re.fullmatch(pattern, reason) and run in runs for pattern, runs in ALLOWED.items())


class Skips:
    """Counts skipped tests, and modules that are skipped as a whole, by reason."""

    def __init__(self, run: str | None):
        self.run = run
        self.counts: Counter[str] = Counter()

    @property
    def refused(self) -> set[str]:
        """Reasons that are not allowed."""
        return {reason for reason in self.counts if self.run and not allowed(reason, self.run)}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._count(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._count(report)

    def _count(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            self.counts[report.longrepr[2].removeprefix("Skipped: ")] += 1

    @pytest.hookimpl(tryfirst=True)  # before the reporter, which tells how it ended
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.counts:
            return
        terminalreporter.section("skipped, by reason" + (f" (run: {self.run})" if self.run else ""))
        for reason, count in sorted(self.counts.items(), key=lambda item: (-item[1], item[0])):
            wrong = reason in self.refused
            note = f"  NOT ALLOWED in the run {self.run!r}: see tests/skips.py" if wrong else ""
            terminalreporter.write_line(f"{count:5}  {reason}{note}", red=wrong)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--skips", choices=RUNS, help="fail if a test is skipped for a reason not allowed in such a run")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # xdist's workers send their reports to the process that counts
        config.pluginmanager.register(Skips(config.getoption("skips")), "skips by reason")
