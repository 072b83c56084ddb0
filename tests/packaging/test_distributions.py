"""Source distribution and wheel: what is in them, and that a stranger can install and use them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = f"sige_mlx/_native/libsige_cpu.{'dylib' if sys.platform == 'darwin' else 'so'}"
HEADER = "sige_mlx/_native/sige_cpu.h"  # Python reads the library's structs from it
SCRATCH = {"__pycache__", "build", ".DS_Store"}

USE_IT = """
import ctypes, importlib, json, pkgutil
from importlib.resources import files
import sige_mlx
package = files("sige_mlx")
modules = [m.name for m in pkgutil.walk_packages(sige_mlx.__path__, "sige_mlx.") if not m.name.endswith("__main__")]
for name in modules:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # an extra, of which modules say so that need it
        extras = {"coremltools": "sige_mlx.converters.coreml."}
        extras |= dict.fromkeys(("starlette", "uvicorn"), "sige_mlx.app.")
        if not name.startswith(extras.get(error.name, "no module")):
            raise
library = ctypes.CDLL(str(package / "LIBRARY".removeprefix("sige_mlx/")))
print(json.dumps({"file": sige_mlx.__file__, "modules": modules, "abi": library.sige_abi()}))
""".replace("LIBRARY", LIBRARY)


def tree(folder: Path, excluded: tuple[str, ...] = ()) -> set[str]:
    """Files under a folder, links followed, relative to it."""
    paths = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if f not in SCRATCH]
        paths |= {(Path(parent) / f).relative_to(folder).as_posix() for f in files if f not in SCRATCH}
    return {p for p in paths if not p.startswith(excluded)}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The source distribution, and the wheel built from it alone."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", out, ROOT], check=True)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


def test_wheel_tag(distributions: tuple[Path, Path]) -> None:
    _, _, python, abi, platform = distributions[1].stem.split("-")
    assert (python, abi) == ("py3", "none")
    assert platform != "any"


def test_wheel_holds_the_package_and_nothing_else(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as wheel:
        names = {n for n in wheel.namelist() if ".dist-info/" not in n}
    not_shipped = ("metal/sim/", "metal/README.md", "_native/", "converters/coreml/Example/")
    assert names == {f"sige_mlx/{p}" for p in tree(ROOT / "sige_mlx", not_shipped)} | {LIBRARY, HEADER}
    assert "sige_mlx/converters/__init__.py" in names


def test_demo_needs_no_download(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as wheel:
        suffixes = {Path(n).suffix for n in wheel.namelist()}
    assert ".safetensors" in suffixes, "the embedded model"
    assert {".png", ".jpg"} & suffixes, "the picture it edits"


def test_source_distribution_is_complete(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as sdist:
        names = {n.split("/", 1)[1] for n in sdist.getnames()}
    folders = ("sige_mlx", "cpu", "metal", "converters", "tests", "benchmarks")
    expected = {f"{f}/{p}" for f in folders for p in tree(ROOT / f, ("converters/", "metal/"))}
    expected |= {"sige_mlx/converters", "sige_mlx/metal", "LICENSE", "README.md", "Makefile", "pyproject.toml"}
    assert expected - names == set()


def test_wheel_in_an_environment_of_its_own(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    subprocess.run([binaries / "python", "-m", "pip", "install", "--quiet", distributions[1]], check=True)
    run = subprocess.run(
        [binaries / "python", "-c", USE_IT], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
    )
    result = json.loads(run.stdout)
    assert Path(result["file"]).is_relative_to(tmp_path)
    assert {"sige_mlx.converters", "sige_mlx.engine", "sige_mlx.cli"} <= set(result["modules"])
    assert result["abi"] > 0
    usage = subprocess.run(
        [binaries / "sige-mlx", "--help"], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True
    )
    assert "edit" in usage.stdout
