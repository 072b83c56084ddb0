"""Edits in folders and CSV files."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx.errors import SigeError
from sige_mlx.evaluation.cases import content, read_cases
from tests.evaluation.folders import write_maps, write_pictures
from tests.tiny import edited_labels


def test_a_folder_has_folders_of_parts(tmp_path: Path) -> None:
    cases = read_cases(write_pictures(tmp_path / "edits"))
    assert len(cases) == 3 and [cases[i].name for i in range(3)] == ["0", "1", "2"]
    assert cases[1].original == tmp_path / "edits/original/1.png" and cases[1].edited == tmp_path / "edits/edited/1.png"
    assert cases[0].truth == tmp_path / "edits/truth/0.png" and cases[1].truth is None and cases[1].mask is None


def test_the_folders_of_published_sets_have_names_of_their_own(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "edits", 1)
    (folder / "truth").rename(folder / "gt")
    (folder / "masks").mkdir()
    np.save(folder / "masks" / "0.npy", np.ones((1, 4, 4), np.bool_))
    case = read_cases(folder)[0]
    assert case.truth == folder / "gt/0.png"
    assert isinstance(case.mask, np.ndarray) and case.mask.shape == (4, 4)


def test_label_maps_may_be_arrays(tmp_path: Path) -> None:
    cases = read_cases(write_maps(tmp_path / "maps"))
    assert cases[1].name == "tree" and np.array_equal(np.asarray(cases[1].edited), edited_labels())


def test_a_table_names_files_beside_it(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "edits")
    (folder / "t.csv").write_text(
        "name,original,edited,truth\nfirst,original/0.png,edited/0.png,truth/0.png\n,original/2.png,edited/2.png,\n"
    )
    cases = read_cases(folder / "t.csv")
    assert [cases[i].name for i in range(len(cases))] == ["first", "2"]
    assert cases[0].truth == folder / "truth/0.png" and cases[1].truth is None


def test_identity_is_that_of_names_and_contents(tmp_path: Path) -> None:
    folder, same = write_pictures(tmp_path / "a"), write_pictures(tmp_path / "b")
    assert read_cases(folder).identity == read_cases(same).identity
    with Image.open(folder / "edited/1.png") as image:
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(folder / "edited/1.png")
    assert read_cases(folder).identity != read_cases(same).identity


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no edits: a line of names"),
        ("original,edited\n", "holds no edits: a line of names"),
        ("original,colour\na.png,b.png\n", "has the columns original, colour: original and edited must be there"),
        ("original,labels,edited\na,b,c\n", "has the columns original, labels, edited"),
        ("original,original,edited\na,b,c\n", "has the columns original, original, edited"),
        ("name,name,original,edited\na,b,c,d\n", "has the columns name, name, original, edited"),
        ("original;edited\na.png;b.png\n", "has the columns original;edited: original and edited must be there"),
        ('name,original,edited\n"a\nb",a.png,b.png\n,a.png\n', "line 4 does not have what its columns say"),
        ("original,edited\n\0,b.png\n", "line 2 does not have what its columns say"),
        ("original,edited\na.png\n", "line 2 does not have what its columns say"),
        ("original,edited\na.png,b.png,c.png\n", "line 2 does not have what its columns say"),
    ],
)
def test_tables_that_say_no_edits(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SigeError, match=re.escape(said)):
        read_cases(tmp_path / "t.csv")


def test_folders_that_hold_no_edits(tmp_path: Path) -> None:
    with pytest.raises(SigeError, match="cannot be read: No such file"):
        read_cases(tmp_path / "none.csv")
    with pytest.raises(SigeError, match="holds no edits: it should have folders"):
        read_cases(tmp_path)
    folder = write_pictures(tmp_path / "edits")
    (folder / "edited" / "1.png").unlink()
    with pytest.raises(SigeError, match=r"edited has no file for 1\.png"):
        read_cases(folder)
    Image.new("RGB", (2, 2)).save(folder / "original" / "1.bmp")
    with pytest.raises(SigeError, match="have one name: which of them is meant"):
        read_cases(folder)
    (folder / "gt").mkdir()
    with pytest.raises(SigeError, match="hold the same part of an edit"):
        read_cases(folder)


def test_what_lies_beside_pictures_is_none(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "edits", 1)
    (folder / "original" / "more.png").mkdir()
    (folder / "original" / "notes.txt").touch()
    (folder / "original" / ".1.png").touch()
    assert list(read_cases(folder).names) == ["0"]


def test_an_array_may_not_claim_more_than_it_has(tmp_path: Path) -> None:
    claimed = {"descr": "<f8", "fortran_order": False, "shape": (1 << 22, 1 << 22)}
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, claimed)
    with pytest.raises(SigeError, match=r"a\.npy cannot be read as an array"):
        content(tmp_path / "a.npy")


def test_arrays_are_plain_ones(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}], object))
    with pytest.raises(SigeError, match="cannot be read as an array"):
        content(tmp_path / "a.npy")
    (tmp_path / "b.npy").write_bytes(b"")
    with pytest.raises(SigeError, match="cannot be read as an array"):
        content(tmp_path / "b.npy")
