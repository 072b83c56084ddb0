"""OpenVINO, dense, in float32 on the CPU: the PyTorch network, exported."""

import openvino

from benchmarks.against.engines.exported import named_inputs, onnx_file
from benchmarks.against.task import Call, Calls, Floats, Task


def load(task: Task) -> Calls:
    settings = {
        "INFERENCE_NUM_THREADS": task.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # else processors with bfloat16 use it
    }
    with onnx_file(task) as path:
        network = openvino.Core().compile_model(path, "CPU", settings)
    given = named_inputs(task)

    def dense() -> Floats:
        output: Floats = network(given)[0]
        return output.transpose(0, 2, 3, 1)

    return {"dense": Call(dense)}
