"""ONNX Runtime, dense: the PyTorch network, exported."""

import onnxruntime

from benchmarks.against.engines.exported import named_inputs, onnx_file
from benchmarks.against.task import Call, Calls, Floats, Task


def load(task: Task) -> Calls:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # its idle threads must not disturb the others
    with onnx_file(task) as path:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = named_inputs(task)

    def dense() -> Floats:
        output: Floats = session.run(None, given)[0]
        return output.transpose(0, 2, 3, 1)

    return {"dense": Call(dense)}
