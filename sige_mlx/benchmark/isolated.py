"""What is measured in a process that does nothing else."""

import json
import os
import subprocess
import sys
from typing import Any

RUN: tuple[str, ...] = (sys.executable, "-m")
"""What runs a module in a process of its own."""

PROCESSES = "sige_mlx.benchmark.processes"

BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def peak_memory(
    model: str,
    device: str,
    threads: int,
    random: bool,
    threshold: int | None,
    quality: str,
    percent: float,
    seed: int,
) -> tuple[int, int | None]:
    """Bytes resident at most while a process loads the weights, records one step for one edit and makes that; and those
    that MLX had allocated at most, None where the device is not the GPU."""
    arguments = json.dumps([model, device, threads, random, threshold, quality, percent, seed])
    resident, allocated = json.loads(run_module(f"{PROCESSES}.peak_memory", [arguments], {}))
    return resident, allocated


def sgemm_gflops(threads: int) -> float:
    """What NumPy's matrix product reaches on so many threads; its BLAS reads their number when it is loaded."""
    return float(run_module(f"{PROCESSES}.sgemm", [], dict.fromkeys(BLAS_THREADS, str(threads))))


def run_module(module: str, arguments: list[Any], environment: dict[str, str]) -> str:
    """What a module prints that is run in a process of its own, with more in its environment."""
    command = [*RUN, module, *arguments]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
