"""Judging edits of small networks, ended and gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sige_mlx import zoo
from sige_mlx.editing import EditSession, LabelSession
from sige_mlx.editing.baselines import baseline
from sige_mlx.errors import SigeError
from sige_mlx.evaluation import Evaluation, Judge, Ranks, Settings, Subject, evaluate, read_cases
from sige_mlx.evaluation.lines import lines_file, read_lines
from sige_mlx.evaluation.measures import Segmenting, segmenting
from sige_mlx.evaluation.subject import SIZES
from sige_mlx.evaluation.table import without_times
from sige_mlx.metrics import Features, Iou, frechet_distance, psnr
from tests.evaluation.folders import write_maps, write_pictures
from tests.tiny import (
    LABEL_CONFIG,
    LABEL_SIZE,
    TRANSLATION_CONFIG,
    edited_labels,
    label_engine,
    labels,
    original,
    painted,
    tiny_engine,
    write_tiny_model,
)

METHODS = ("edit", "patch", "crop")


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGE_MLX_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "denoising": write_tiny_model(folder / "denoising"),
        "labels": write_tiny_model(folder / "labels", LABEL_CONFIG),
        "translation": write_tiny_model(folder / "translation", TRANSLATION_CONFIG),
    }


def judge(model: Path, edits: Path, out: Path, methods: tuple[str, ...] = METHODS, **sampling: object) -> Judge:
    return Judge(Subject(zoo.load(model), methods, Settings(sampling=sampling)), read_cases(edits), out)


def run(judge: Judge) -> Evaluation:
    found = evaluate(judge, Ranks())
    assert found
    return found


def picture(judge: Judge, case: int, method: str) -> np.ndarray:
    with Image.open(judge.picture_file(case, method)) as image:
        return np.asarray(image)


def test_pictures_are_those_of_a_session(models: dict[str, Path], tmp_path: Path) -> None:
    judged = judge(models["denoising"], write_pictures(tmp_path / "edits"), tmp_path / "out", steps=2)
    found = run(judged)
    session = EditSession(tiny_engine(), original(), steps=2)
    dense, edit = session.dense(painted()), session.edit(painted())
    assert np.array_equal(picture(judged, 0, "dense"), dense.image)
    assert np.array_equal(picture(judged, 0, "edit"), edit.image)
    for method in ("patch", "crop"):
        assert np.array_equal(picture(judged, 0, method), baseline(session, method, painted()).image)
    line = found.lines[0]
    assert line["edited"] == edit.edited and line["methods"]["edit"]["macs"] == edit.macs
    assert line["methods"]["dense"]["macs"] == edit.dense_macs and "to_dense" not in line["methods"]["dense"]
    told = line["methods"]["edit"]
    assert told["to_dense"]["PSNR"]["edited"] == psnr(edit.image, dense.image, mask=edit.mask)
    assert told["to_truth"]["PSNR"]["whole"] == psnr(edit.image, painted())
    assert "to_truth" not in found.lines[1]["methods"]["edit"]
    assert found.table["pictures"] == 3 and found.table["methods"]["edit"]["to_truth"]["PSNR"]["edited"]["count"] == 1
    assert len(found.missing) == 3 and not found.failed


def test_label_maps_and_translations_are_judged_too(models: dict[str, Path], tmp_path: Path) -> None:
    judged = judge(models["labels"], write_maps(tmp_path / "maps"), tmp_path / "out")
    assert [line["name"] for line in run(judged).lines] == ["no-tree", "tree"]
    session = LabelSession(label_engine(), labels())
    assert np.array_equal(picture(judged, 1, "edit"), session.edit(edited_labels()).image)
    assert np.array_equal(picture(judged, 1, "crop"), baseline(session, "crop", edited_labels()).image)
    translated = judge(models["translation"], write_pictures(tmp_path / "edits"), tmp_path / "out2")
    assert run(translated).table["pictures"] == 3 and picture(translated, 2, "edit").shape == original().shape


def test_a_second_model_renders_the_same_edits(models: dict[str, Path], tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", LABEL_CONFIG)
    thin = tmp_path / "labels-0.5"
    other.rename(thin)
    model = zoo.load(models["labels"])
    renamed = type(model)(**{**model.__dict__, "name": str(tmp_path / "labels")})
    subject = Subject(renamed, ("edit", "thin:0.5", str(thin)), Settings())
    judged = Judge(subject, read_cases(write_maps(tmp_path / "maps")), tmp_path / "out")
    found = run(judged)
    for method in ("thin:0.5", str(thin)):
        assert np.array_equal(picture(judged, 0, method), picture(judged, 0, "dense"))
        assert found.table["methods"][method]["to_dense"]["PSNR"]["edited"]["equal"] == 2


class Few:
    """Features of pictures that any network might have: the means of their channels."""

    name = "FID (clean)"

    def __init__(self, like: str):
        assert like == "clean-fid"

    def features(self, picture: np.ndarray) -> Features:
        rows = picture.mean((0, 1))[None].astype(np.float32)
        return Features(rows, np.zeros((1, 32), np.uint8), "few")


def test_sets_of_pictures_are_measured_where_weights_are_here(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen(picture: np.ndarray) -> np.ndarray:
        return (picture[..., 0] > 127).astype(np.uint8)

    monkeypatch.setattr("sige_mlx.evaluation.measures.FrechetDistance", Few)
    by = Segmenting("mIoU", 19, lambda ids: (ids == 7).astype(np.uint8), seen)
    monkeypatch.setattr("sige_mlx.evaluation.run.segmenting", lambda classes: by)
    folder = write_maps(tmp_path / "maps")
    (folder / "truth").mkdir()
    for i, name in enumerate(("tree", "no-tree")):
        Image.fromarray(np.full((*LABEL_SIZE, 3), 90 * i, np.uint8)).save(folder / "truth" / f"{name}.png")
    judged = judge(models["labels"], folder, tmp_path / "out")
    edit = run(judged).table["methods"]["edit"]
    made = [picture(judged, i, "edit") for i in range(2)]
    sets = [
        np.stack([p.mean((0, 1)) for p in of]).astype(np.float32)
        for of in (made, [np.full((2, 2, 3), 90), np.zeros((2, 2, 3))])
    ]
    keys = np.arange(64, dtype=np.uint8).reshape(2, 32)
    assert edit["FID (clean)"] == frechet_distance(*(Features(rows, keys, "few").statistics() for rows in sets))
    iou = Iou()
    for ids, image in zip((labels(), edited_labels()), made, strict=True):
        iou.add((ids == 7).astype(np.uint8), seen(image))
    assert edit["mIoU"]["whole"]["mean"] == iou.mean
    assert judged.settings["measures"] == ["PSNR", "SSIM", "FID (clean)", "mIoU"]


def test_a_run_does_not_go_on_by_another_segmenter(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in the package has no published weights that its name stands for: a later release may have others."""
    folder = write_maps(tmp_path / "maps")

    def judged(weights: str) -> Judge:
        by = Segmenting("mIoU (ours)", 19, lambda ids: ids % 19, lambda picture: picture[..., 0] % 19, weights)
        monkeypatch.setattr("sige_mlx.evaluation.run.segmenting", lambda classes: by)
        return judge(models["labels"], folder, tmp_path / "out")

    run(judged("one"))
    run(judged("one"))
    with pytest.raises(SigeError, match=r"was begun with other settings \(segmenter: one, not another\)"):
        run(judged("another"))
    assert segmenting(zoo.classes(zoo.LABELS)).weights


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_run_goes_on_where_it_was_ended(models: dict[str, Path], tmp_path: Path, left: int) -> None:
    """With the table of one that was not ended; nothing that was judged is judged again."""
    edits = write_pictures(tmp_path / "edits")
    whole = run(judge(models["denoising"], edits, tmp_path / "whole", steps=1))
    ended = judge(models["denoising"], edits, tmp_path / "ended", steps=1)
    run(ended)
    path = lines_file(ended.out, 0)
    lines = path.read_bytes().splitlines(keepends=True)
    kept = b"".join(lines[: 1 + left])
    path.write_bytes(kept + lines[1 + left][:40])  # and what a kill leaves of a line
    assert without_times(run(ended).table) == without_times(whole.table)
    assert path.read_bytes().startswith(kept) and len(read_lines(ended.out, ended.settings)) == 3


def test_another_model_is_not_gone_on_with(models: dict[str, Path], tmp_path: Path) -> None:
    edits = write_pictures(tmp_path / "edits", 1)
    run(judge(models["denoising"], edits, tmp_path / "out", steps=1))
    for other in (
        judge(models["denoising"], edits, tmp_path / "out", steps=2),
        judge(models["denoising"], edits, tmp_path / "out", ("edit",), steps=1),
    ):
        with pytest.raises(SigeError, match="was begun with other settings"):
            run(other)
    assert (
        judge(models["denoising"], edits, tmp_path / "out").settings["model"]
        != judge(models["labels"], edits, tmp_path / "out").settings["model"]
    )


def test_methods_of_like_names_have_pictures_of_their_own(models: dict[str, Path], tmp_path: Path) -> None:
    """On file systems too that take capital letters for small ones, and names however long."""
    model = zoo.load(models["denoising"])
    names = [str(write_tiny_model(tmp_path / name)) for name in ("a b", "A-b", "a-B" + 200 * "x", "a-b" + 200 * "x")]
    methods = ("edit", "edit:fast", *names)
    judged = Judge(Subject(model, methods), read_cases(write_pictures(tmp_path / "edits", 1)), tmp_path / "out")
    files = {method: judged.picture_file(0, method).name for method in judged.subject.methods}
    assert len({file.casefold() for file in files.values()}) == len(files)
    assert files["edit"] == "00000-edit.png" and files["edit:fast"] == "00000-edit-fast.png"
    assert max(map(len, files.values())) < 100


def test_of_pictures_of_many_sizes_few_engines_are_kept(models: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "edits"
    for role in ("original", "edited"):
        (folder / role).mkdir(parents=True)
    sides = [32, 36, 40, 44, 32]
    for number, side in enumerate(sides):
        for role, made in (("original", original), ("edited", painted)):
            Image.fromarray(made(side)).save(folder / role / f"{number}.png")
    judged = judge(models["translation"], folder, tmp_path / "out")
    assert run(judged).table["pictures"] == len(sides)
    assert len({size for _, size in judged.subject._engines}) == SIZES
    assert picture(judged, 3, "edit").shape == (44, 44, 3)


def test_a_folder_that_cannot_be_written_ends_the_run(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and what there was stays: a full disk is no fault of a picture."""
    edits, asked = write_pictures(tmp_path / "edits"), []
    monkeypatch.setattr("sige_mlx.evaluation.run.save_image", lambda image, path: asked.append(path) or full(asked))
    judged = judge(models["denoising"], edits, tmp_path / "out", steps=1)
    with pytest.raises(SigeError, match="No space left"):
        run(judged)
    assert len(asked) == 6 and list(read_lines(judged.out, judged.settings)) == [0]  # four pictures of each


def full(asked: list[Path]) -> None:
    if len(asked) > 5:
        raise SigeError("No space left on device")


def test_one_that_cannot_be_judged_does_not_stop_the_others(models: dict[str, Path], tmp_path: Path) -> None:
    edits = write_pictures(tmp_path / "edits")
    Image.fromarray(original(16)).save(edits / "original" / "1.png")
    Image.fromarray(original()).save(edits / "edited" / "0.png")
    found = run(judge(models["denoising"], edits, tmp_path / "out", steps=1))
    assert [line["case"] for line in found.lines] == [2]
    assert "0: nothing is edited" in found.failed[0] and "1.png is 16×16 pixels" in found.failed[1]
    (edits / "original" / "2.png").write_bytes(b"")
    with pytest.raises(SigeError, match="none of the 3 pictures could be judged: 0: nothing is edited"):
        run(judge(models["denoising"], edits, tmp_path / "out2", steps=1))


def test_parts_that_are_for_other_models(models: dict[str, Path], tmp_path: Path) -> None:
    maps, pictures = write_maps(tmp_path / "maps"), write_pictures(tmp_path / "edits", 1)
    (maps / "labels").rename(maps / "mask")
    shutil.copytree(maps / "mask", maps / "labels")
    with pytest.raises(SigeError, match="no-tree has a mask, which is for pictures: leave that away"):
        run(judge(models["labels"], maps, tmp_path / "out"))
    shutil.copytree(pictures / "original", pictures / "instances")
    with pytest.raises(SigeError, match="0 has instances, which are for label maps: leave that away"):
        run(judge(models["denoising"], pictures, tmp_path / "out2"))


def test_methods_that_there_are_not(models: dict[str, Path]) -> None:
    pretrained = zoo.load(models["denoising"])
    with pytest.raises(
        SigeError, match="the method 'best' is none of dense, edit, edit:QUALITY, patch, crop, nor a second model"
    ):
        Subject(pretrained, ("best",))
    with pytest.raises(SigeError, match=r"is for labels and .* for denoising: they render no edit alike"):
        Subject(pretrained, (zoo.LABELS,))
