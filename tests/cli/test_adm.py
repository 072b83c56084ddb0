"""A network that joined the families later than the verbs were written: from its checkpoint to an edited picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx.converters.families.adm import layouts
from sige_mlx.models.adm import ADMConfig
from tests.cli.conftest import Run
from tests.converters.writer import state_dict, write_zip
from tests.tiny import SIZE, original, painted

CONFIG = ADMConfig(image_size=SIZE, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(16,), head_dim=32)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """As its authors' code saves one."""
    rng = np.random.default_rng(0)
    tensors = layouts(CONFIG)[0].tensors
    root, storages = state_dict({n: 0.05 * rng.standard_normal(s, np.float32) for n, s in tensors.items()})
    return write_zip(tmp_path / "islands.pt", root, storages)


def test_convert_info_and_edit(run: Run, checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    options = ["--image-size", SIZE, "--set", "head_dim=32", "--set", "tiles_from=16", "--out", tmp_path / "islands"]
    assert run("convert", checkpoint, *options).status == 0

    numbers = run("info", "-m", tmp_path / "islands", "--edit", 5, "--json").json
    assert numbers["family"] == "adm" and 0 < numbers["edit"]["macs"] < numbers["macs"]

    files = ["--original", pictures / "a.png", "--edited", pictures / "b.png", "--out", tmp_path / "c.png"]
    ended = run("edit", "-m", tmp_path / "islands", *files, "--steps", 3, "--json")
    assert ended.status == 0, ended.err
    edited = np.asarray(Image.open(tmp_path / "c.png").convert("RGB"))
    assert edited.shape == original().shape
    unedited = (edited == original()).all(-1)
    assert unedited.any() and not unedited[(painted() != original()).any(-1)].all()


def test_it_is_listed_with_where_its_files_are(
    run: Run, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))
    files = ["--original", pictures / "a.png", "--edited", pictures / "b.png", "--out", tmp_path / "c.png"]
    sentence = run("edit", "-m", "adm-cat-256", *files).sentence
    assert "get lsun_cat.pt from https://openaipublic.blob.core.windows.net/diffusion/jul-2021 and run" in sentence
    assert "adm-cat-256" in run("models").out
