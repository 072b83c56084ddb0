"""ONNX Runtime, dense: the PyTorch network, exported."""

import tempfile
from pathlib import Path

import onnxruntime
import torch

from benchmarks.against.engines.torch import inputs, network
from benchmarks.against.task import Call, Calls, Floats, Task


def load(task: Task) -> Calls:
    arguments, names = inputs(task), ["x", *task.conditions]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # its idle threads must not disturb the others
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        torch.onnx.export(network(task), arguments, path, input_names=names, dynamo=True, verbose=False)
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {name: value.numpy() for name, value in zip(names, arguments, strict=True)}

    def dense() -> Floats:
        output: Floats = session.run(None, given)[0]
        return output.transpose(0, 2, 3, 1)

    return {"dense": Call(dense)}
