"""Loads weights, records one step for one edit and makes that; prints the bytes that were resident at most, interpreter
included, and on the GPU those that MLX had allocated at most, else null."""

import json
import resource
import sys
from pathlib import Path

import mlx.core as mx

from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.workload import engine_for, workload


def main(arguments: str) -> None:
    model, device, threads, random, threshold, quality, percent, seed = json.loads(arguments)
    mx.reset_peak_memory()
    engine = engine_for(model, device, threads, random, threshold, quality)
    work = workload(engine, seed)
    mask = blob_mask(engine.image_size, percent, engine.policy.dilation, seed)
    prepared = engine.prepare(mask)
    mx.eval(engine.record_for(prepared, **work.original))
    mx.eval(engine.edit(prepared, **work.edited(mask)))
    print(json.dumps([_peak(), mx.get_peak_memory() if device == "gpu" else None]))


def _peak() -> int:
    """Linux hands ru_maxrss down from the process that started this one, so that it would tell of whichever was larger;
    VmHWM begins anew with the program."""
    if sys.platform == "linux":
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    main(sys.argv[1])
