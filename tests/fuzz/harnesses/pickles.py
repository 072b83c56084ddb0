"""The pickle in a checkpoint, without the file around it: the interpreter, and what is made of what it built."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sige_mlx.converters.checkpoint import Checkpoint, CheckpointError, Storage, state_dict
from sige_mlx.converters.checkpoint.reader import _storage_id, _unpickle
from tests.converters.test_fuzz import tensors
from tests.converters.writer import Call, Name, Persistent, dumps, ordered
from tests.converters.writer import state_dict as written
from tests.fuzz import mutate
from tests.fuzz.harness import Harness, one_sentence

ROOM = 64  # bytes of every storage


def storage(identifier: object) -> Storage:
    """What a file of `ROOM` bytes for each storage has of one."""
    _, dtype, nbytes, _ = _storage_id(identifier)
    if nbytes > ROOM:
        raise CheckpointError("the file is too short")
    return Storage(nbytes, dtype, lambda: bytes(nbytes))


def run(data: bytes) -> None:
    with one_sentence():
        unknown: dict[str, None] = {}
        root, _ = _unpickle(data, 0, unknown, storage)
        walk(Checkpoint(Path("a.pth"), root, tuple(unknown)))


def walk(checkpoint: Checkpoint) -> None:
    """Everything that is asked of a checkpoint."""
    for tensor in tensors(checkpoint.root):
        with one_sentence():
            assert tensor.numpy().shape == tensor.shape
    for prefer in ("ema", "raw", "model"):
        with one_sentence():
            found = state_dict(checkpoint, prefer)
            assert found.tensors or found.foreign
            for tensor in found.tensors.values():
                with one_sentence():
                    assert tensor.numpy().shape == tensor.shape


def roots() -> list[object]:
    """What people save: a state dict alone, among others, as a list, in NumPy's arrays, and in odd kinds of tensors."""
    arrays = {"a.weight": np.ones((2, 3), np.float32), "a.bias": np.zeros(2, np.float16), "n": np.array(3)}
    named = written(arrays)[0]
    of_numpy = Call(
        Name("numpy.core.multiarray", "_reconstruct"),
        (Name("numpy", "ndarray"), (0,), b"b".decode()),
        (),
        (
            1,
            (2,),
            Call(Name("numpy", "dtype"), ("f4", False, True), (), (3, "<", None, None, None, -1, -1, 0)),
            False,
            Call(Name("_codecs", "encode"), ("\0\0\x80?\0\0\x80?", "latin1")),
        ),
    )
    reference = Persistent(("storage", Name("torch", "UntypedStorage"), "0", "cpu", 8))
    third = Call(
        Name("torch._utils", "_rebuild_tensor_v3"),
        (reference, 0, (2,), (1,), False, Call(Name("collections", "OrderedDict")), Name("torch", "float32")),
    )
    parameter = Call(Name("torch._utils", "_rebuild_parameter"), (third, True, None))
    sparse = Call(Name("torch._utils", "_rebuild_sparse_tensor"), (Name("torch", "sparse_coo"), (third, third, (2,))))
    odd = Call(Name("torch._tensor", "_rebuild_from_type_v2"), (Name("torch._utils", "x"), Name("a", "B"), (1,), None))
    module = Call(Name("nn", "Net"), (), (), {"_modules": {"a": named}})
    return [
        named,
        {"model": named, "optimizer": {"state": {0: third}, "param_groups": [{"lr": 0.1}]}, "epoch": 3},
        [named, {"param_groups": []}, 3, 4.0, named],
        {"model": named, "ema": {"shadow": named, "decay": 0.99}, "model_ema": {"module.a.weight": third}},
        {"a": of_numpy, "b": parameter, "c": sparse, "d": odd},
        ordered({"model.a": third, "model_ema.a": third, "model_ema.decay": third}),
        {"ema": {"shadow_params": [third, parameter], "decay": 0.9}, "state_dict": {"a": third, "b": third}},
        {"model": module, "args": Call(Name("argparse", "Namespace"), (), (), {"lr": 1.0})},
    ]


HARNESSES = {"pickles": Harness(run, lambda: list(map(dumps, roots())), mutate.of_pickle)}
