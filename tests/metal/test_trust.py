"""A kernel is tried before its first use; one that is wrong, or does not compile, is replaced."""

from __future__ import annotations

import errno
import json
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from benchmarks.simulated.device import Simulated
from sige_mlx.engine import verdicts
from sige_mlx.engine.gpu import text as metal_text
from sige_mlx.engine.gpu import trust
from sige_mlx.engine.gpu.launch import Launch
from sige_mlx.engine.gpu.ops import Call, Depthwise, Paste
from sige_mlx.engine.gpu.ops.epilogue import Epilogue
from sige_mlx.engine.gpu.trust import GpuLost, Trial, Trust, samples
from tests.metal.draw import MAKERS, paste_call

CALL = paste_call(True, 1, mx.float32)


class Counting(Simulated):
    """The model of Metal, which counts what it runs."""

    def __init__(self, identity: str | None = "a chip, macOS 15.0, MLX 0.32.0"):
        super().__init__(identity=identity)
        self.runs = 0

    def run(self, launch: Launch) -> list[mx.array]:
        self.runs += 1
        return super().run(launch)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The paste kernel with one text in place of another."""
    old, new = request.param
    original = metal_text.read
    assert old in original("paste/paste.h")
    monkeypatch.setattr(metal_text, "read", lambda path: original(path).replace(old, new))
    metal_text.expanded.cache_clear()
    yield
    metal_text.expanded.cache_clear()


def allows(trust: Trust, call: Call = CALL) -> bool:
    launch = call.launch()
    assert launch is not None
    return trust.allows(launch, call)


def test_a_right_kernel_is_tried_once_on_a_machine(tmp_path: Path) -> None:
    device = Counting()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trust = Trust(device, tmp_path)
        assert allows(trust) and allows(trust)
        assert allows(Trust(device, tmp_path))
    assert device.runs == 3  # on three small inputs
    assert allows(Trust(other := Counting("another chip, macOS 15.0, MLX 0.32.0"), tmp_path)) and other.runs == 3
    assert len(json.loads((tmp_path / "kernels.json").read_text())) == 2
    assert allows(Trust(again := Counting(), tmp_path)) and again.runs == 0


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (("widened<T>(", "1.01f * widened<T>("), "its error is 1.0e-04 on a small input"),
        (("widened<T>(", "no_such_function<T>("), "it does not run"),
    ],
    indirect=["broken"],
    ids=["wrong", "does not compile"],
)
def test_a_broken_kernel_is_replaced_with_one_warning(broken: None, why: str, tmp_path: Path) -> None:
    trust = Trust(Counting(), tmp_path)
    with pytest.warns(UserWarning, match=rf"the Metal kernel paste is replaced by slower ones .*: .*{why}") as caught:
        assert not allows(trust)
        assert not allows(trust)
    assert len(caught) == 1
    with pytest.warns(UserWarning, match=why):  # remembered, and said again
        assert not allows(Trust(device := Counting(), tmp_path))
    assert device.runs == 0


def test_every_specialisation_that_is_replaced_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = iter(["one reason", "another"])
    monkeypatch.setattr(trust, "tried", lambda *_: Trial(next(reasons)))
    caplog.set_level(logging.DEBUG, trust.__name__)
    judge = Trust(Counting(), tmp_path)
    with pytest.warns(UserWarning, match="one reason") as caught:
        for dtype in (mx.float32, mx.float16, mx.float32):
            assert not allows(judge, paste_call(True, 1, dtype))
    assert len(caught) == 1
    assert [(m.split("-")[0], m.rsplit(": ")[1]) for m in caplog.messages] == [
        ("paste", "one reason"),
        ("paste", "another"),
    ]


def test_a_kernel_that_was_repaired_is_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    original = metal_text.read
    monkeypatch.setattr(metal_text, "read", lambda path: original(path).replace("widened<T>(", "1.01f * widened<T>("))
    metal_text.expanded.cache_clear()
    with pytest.warns(UserWarning, match="replaced"):
        assert not allows(Trust(Counting(), tmp_path))
    monkeypatch.undo()
    metal_text.expanded.cache_clear()
    assert allows(Trust(Counting(), tmp_path))


DAMAGED = ["", "{", "[]", "\0", "[" * 100_000, '{"MACHINE": []}', '{"MACHINE": {"paste": 1}}', '{"MACHINE": "paste"}']


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_only_costs_another_try(content: str, tmp_path: Path) -> None:
    (tmp_path / "kernels.json").write_text(content.replace("MACHINE", Counting().identity or ""))
    assert allows(Trust(Counting(), tmp_path))
    assert allows(Trust(device := Counting(), tmp_path)) and device.runs == 0


@pytest.mark.parametrize("kind", ["pipe", "huge", "binary"])
def test_a_file_that_cannot_be_read_is_no_obstacle(kind: str, tmp_path: Path) -> None:
    """Nobody waits for the other end of a pipe."""
    file = tmp_path / "kernels.json"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "huge":
        with file.open("wb") as out:
            out.truncate(2**40)
    else:
        file.write_bytes(b"\xff\xfe{}")
    assert allows(Trust(Counting(), tmp_path))
    assert allows(Trust(device := Counting(), tmp_path)) and device.runs == 0


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert allows(Trust(Counting(), tmp_path / "file" / "folder"))


@pytest.mark.parametrize("function", ["mkstemp", "replace", "fdopen"])
def test_verdicts_that_cannot_be_kept_are_known_until_the_end(
    function: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(verdicts.tempfile if function == "mkstemp" else verdicts.os, function, full)
    judge = Trust(device := Counting(), tmp_path)
    assert allows(judge) and allows(judge) and device.runs == 3
    assert not [*tmp_path.iterdir()]


class Failing(Counting):
    """A GPU on which every kernel raises; what MLX hands out afterwards is in `reports`."""

    def __init__(self, raised: Exception, reports: int = 0):
        super().__init__()
        self.raised, self.reports = raised, reports

    def run(self, launch: Launch) -> list[mx.array]:
        self.runs += 1
        self.reported = self.reports
        raise self.raised


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Failing:
    """Whoever waits for arrays after a kernel failed gets its error too, as often as the device reports it."""
    device = Failing(*request.param)
    wait = mx.eval

    def waits(*arrays: Any) -> None:
        if getattr(device, "reported", 0) > 0:
            device.reported -= 1
            raise device.raised
        wait(*arrays)

    monkeypatch.setattr(mx, "eval", waits)
    return device


FAULT = RuntimeError("[METAL] Command buffer execution failed: Caused GPU Address Fault Error.")
MEMORY = RuntimeError("[malloc] Unable to allocate 1073741824 bytes.")


@pytest.mark.parametrize("failing", [(FAULT, 0), (FAULT, 1), (FAULT, 3), (OSError("no"), 0)], indirect=True, ids=str)
def test_an_error_that_is_reported_again_disturbs_nothing(failing: Failing, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="paste is replaced by .*: it does not run"):
        assert not allows(Trust(failing, tmp_path))
    assert not mx.isnan(mx.array(CALL.by_mlx()[0]).sum()).item()
    with pytest.warns(UserWarning, match="it does not run"):
        assert not allows(Trust(other := Counting(), tmp_path))
    assert other.runs == 0


@pytest.mark.parametrize("failing", [(FAULT, 10**9)], indirect=True)
def test_a_gpu_that_is_lost_is_one_sentence(failing: Failing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GpuLost) as lost:
        allows(Trust(failing, tmp_path))
    assert str(lost.value) == (
        "the GPU stopped working while the Metal kernel paste was tried ([METAL] Command buffer execution failed:"
        " Caused GPU Address Fault Error.): start again, and the kernel is left out, or choose the device cpu"
    )
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="Address Fault"):  # left out from now on
        assert not allows(Trust(other := Counting(), tmp_path))
    assert other.runs == 0


@pytest.mark.parametrize("failing", [(MEMORY, 0), (MEMORY, 1), (MemoryError(), 0)], indirect=True, ids=str)
def test_want_of_memory_is_held_against_no_kernel_for_long(failing: Failing, tmp_path: Path) -> None:
    judge = Trust(failing, tmp_path)
    with pytest.warns(UserWarning, match="it does not run"):
        assert not allows(judge) and not allows(judge)
    assert failing.runs == 1
    assert allows(Trust(Counting(), tmp_path))


@pytest.mark.parametrize("name", ["by_mlx", "epilogue"])
@pytest.mark.parametrize("raised", [FAULT, MEMORY, ValueError("a mistake"), MemoryError()], ids=str)
def test_mlx_may_fail_too(name: str, raised: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*arguments: Any) -> list[mx.array]:
        raise raised

    call = MAKERS["pooling"](3, mx.float32)[0]
    monkeypatch.setattr(Depthwise if name == "by_mlx" else Epilogue, "by_mlx", fails)
    judge = Trust(Counting(), tmp_path)
    with pytest.warns(UserWarning, match="MLX's operations do not run to compare it with"):
        assert not allows(judge, call) and not allows(judge, call)
    monkeypatch.undo()
    assert allows(Trust(Counting(), tmp_path), call)  # of which the kernel knew nothing


@pytest.mark.parametrize("module", ["samples", "launch"])
def test_a_kernel_that_cannot_be_tried_is_left_out(
    module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*arguments: Any) -> Any:
        raise KeyError("a mistake")

    launch = CALL.launch()
    assert launch is not None
    monkeypatch.setattr(*((trust, "samples") if module == "samples" else (Paste, "launch")), fails)
    with pytest.warns(UserWarning, match=r"it cannot be tried \('a mistake'\)"):
        assert not Trust(Counting(), tmp_path).allows(launch, CALL)


def test_an_interruption_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        allows(Trust(Failing(KeyboardInterrupt()), tmp_path))
    assert allows(Trust(Counting(), tmp_path))


def test_nothing_is_tried_on_the_model_of_metal(tmp_path: Path) -> None:
    device = Counting(identity=None)
    assert allows(Trust(device, tmp_path)) and device.runs == 0


def test_kernels_of_other_arrays_have_other_verdicts() -> None:
    """MLX makes a kernel's signature of the types of its arrays."""
    types: dict[str, set[tuple[mx.Dtype, ...]]] = {}
    for maker in MAKERS.values():
        for seed in range(8):
            for dtype in (mx.float16, mx.float32):
                call, launch = maker(seed, dtype)
                launch = launch or call.launch()
                assert launch is not None
                signature = tuple(a.dtype for a in launch.inputs) + tuple(of for _, of in launch.outputs)
                types.setdefault(launch.kernel.specialisation, set()).add(signature)
    assert len(types) > len(MAKERS) and all(len(signatures) == 1 for signatures in types.values())


@pytest.mark.parametrize("name", MAKERS)
def test_small_calls_are_for_the_same_kernel(name: str) -> None:
    for seed in range(8):
        call, launch = MAKERS[name](seed, mx.float16)
        launch = launch or call.launch()
        assert launch is not None
        for small in samples(call, launch.blocking):
            again = small.launch(launch.blocking)
            assert again is not None and again.kernel == launch.kernel
            results = [np.asarray(a.astype(mx.float32)) for a in small.by_mlx()]
            assert all(np.isfinite(a).all() and np.ptp(a) > 0 for a in results)
