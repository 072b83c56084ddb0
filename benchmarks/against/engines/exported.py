"""The PyTorch network as ONNX, which dense engines read."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.against.engines.torch import inputs, network
from benchmarks.against.task import Floats, Task


@contextmanager
def onnx_file(task: Task) -> Iterator[Path]:
    """The task's network with its weights, while the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(network(task), inputs(task), path, input_names=_names(task), dynamo=True, verbose=False)
        yield path


def named_inputs(task: Task) -> dict[str, Floats]:
    """What that network is called with: the edited image, NCHW, and the other inputs."""
    return {name: value.numpy() for name, value in zip(_names(task), inputs(task), strict=True)}


def _names(task: Task) -> list[str]:
    return ["x", *task.conditions]
