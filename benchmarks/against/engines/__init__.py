"""One file per engine, each with `load(task) -> Calls`. Nothing is imported before its engine is asked for."""

ENGINES = ("ours", "torch", "onnxruntime", "openvino", "sige")
