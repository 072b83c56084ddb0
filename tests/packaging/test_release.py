"""`.ci/release`: a version is cut, and a tag, the changelog and the files of a release have to agree with it."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WHEELS = ("manylinux_2_27_x86_64.manylinux_2_28_x86_64", "manylinux_2_28_aarch64", "macosx_14_0_arm64")


def release(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, ROOT / ".ci" / "release", *map(str, arguments)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


def complaint(folder: Path, *arguments: object) -> str:
    ended = release(folder, *arguments)
    assert ended.returncode == 1 and ended.stdout == "" and ended.stderr.count("\n") == 1
    return ended.stderr


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    """The project's own files, as of a release, and what was built of it."""
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    ended = release(tmp_path, "cut", "7.1.0")
    assert ended.returncode == 0, ended.stderr
    dist = tmp_path / "dist"
    dist.mkdir()
    (dist / "sige_mlx-7.1.0.tar.gz").write_bytes(b"source")
    for tag in WHEELS:
        (dist / f"sige_mlx-7.1.0-py3-none-{tag}.whl").write_bytes(tag.encode())
    return tmp_path


def test_cutting_sets_the_version_and_dates_the_notes(cut: Path) -> None:
    before, after = ((folder / "pyproject.toml").read_text("utf-8") for folder in (ROOT, cut))
    changed = [b for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert changed == ['version = "7.1.0"']
    assert re.search(
        r"^## \[Unreleased\]\n\n## \[7\.1\.0\] - 20\d\d-\d\d-\d\d\n", (cut / "CHANGELOG.md").read_text("utf-8"), re.M
    )


def test_notes_are_what_the_changelog_says(cut: Path) -> None:
    told = release(cut, "notes", "v7.1.0").stdout
    whole = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert told.strip() in whole and told.startswith("### Added\n") and "## [" not in told


def test_what_agrees_is_given_checksums(cut: Path) -> None:
    ended = release(cut, "check", "v7.1.0", "dist")
    assert ended.returncode == 0, ended.stderr
    lines = (cut / "dist" / "SHA256SUMS").read_text("utf-8").splitlines()
    assert len(lines) == 1 + len(WHEELS)
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((cut / "dist" / name).read_bytes()).hexdigest() == digest
    assert release(cut, "check", "v7.1.0", "dist").returncode == 0, "again, with the sums there"


def test_what_does_not_agree_is_said(cut: Path) -> None:
    dist = cut / "dist"
    assert "the tag is v7.2.0, and pyproject.toml has 7.1.0" in complaint(cut, "check", "v7.2.0", "dist")
    assert "no '## [7.2.0]" in complaint(cut, "notes", "v7.2.0")
    assert "has 7.1.0 already" in complaint(cut, "cut", "7.1.0")
    assert "nothing under [Unreleased]" in complaint(cut, "cut", "7.2.0")
    assert "'7.2' is no version" in complaint(cut, "cut", "7.2")
    stray = dist / "sige_mlx-7.0.0.tar.gz"
    stray.write_bytes(b"older")
    assert "which is nothing of 7.1.0" in complaint(cut, "check", "v7.1.0", "dist")
    stray.unlink()
    mac = dist / f"sige_mlx-7.1.0-py3-none-{WHEELS[-1]}.whl"
    mac.unlink()
    assert "0 wheels for Apple silicon" in complaint(cut, "check", "v7.1.0", "dist")
    assert release(cut, "check", "v7.1.0", "dist", "--some").returncode == 0
    for tag in ("macosx_14_0_arm64", "macosx_15_0_arm64"):
        (dist / f"sige_mlx-7.1.0-py3-none-{tag}.whl").write_bytes(b"")
    assert "2 wheels for Apple silicon" in complaint(cut, "check", "v7.1.0", "dist", "--some")
    (dist / "sige_mlx-7.1.0.tar.gz").unlink()
    assert "no source distribution" in complaint(cut, "check", "v7.1.0", "dist")


def test_the_workflow_and_the_rehearsal_share_the_script() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))
    steps = " ".join(step.get("run", "") for step in workflow["jobs"]["draft"]["steps"])
    rehearsal = (ROOT / ".ci" / "run").read_text("utf-8")
    for verb in ("check", "notes"):
        assert f".ci/release {verb}" in steps and f".ci/release {verb}" in rehearsal
    assert ".ci/release cut" in rehearsal


def test_whoever_cites_finds_what_that_takes() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(cited) and "version" not in cited
    assert cited["references"][0]["title"].startswith("Efficient Spatially Sparse Inference")


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda p: p.stem)
def test_templates_ask_for_the_report_of_doctor(path: Path) -> None:
    form = yaml.safe_load(path.read_text("utf-8"))
    if path.stem == "config":
        assert form == {"blank_issues_enabled": False}
        return
    asked = {field["id"]: field for field in form["body"] if "id" in field}
    assert "sige-mlx doctor" in asked["doctor"]["attributes"]["label"]
    if path.stem in ("fault", "mac"):
        assert asked["doctor"]["validations"]["required"]
