"""An engine in a process of its own. Both ends of the pipe are here; they exchange one JSON object a line.

To the worker: {"call": name} or {"call": name, "save": path}. Back: {"calls": [names]} once the engine is loaded, then
{"seconds": s} for each call, or {"error": sentence}.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.against.task import Calls, Floats, Task
from sige_mlx.errors import SigeError

MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Makes glibc keep large buffers. The others allocate activations on every pass, and would lose up to half of their
time to page faults; we do not."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Worker:
    """The caller's end: starts an engine and waits until it is loaded. Raises `SigeError` when it cannot be."""

    def __init__(self, engine: str, task: Task):
        self.engine = engine
        environment = {**os.environ, **dict.fromkeys(THREADS, str(task.threads))}
        if engine != "ours":
            environment |= MALLOC
        command = [sys.executable, "-m", "benchmarks.against.worker", engine, json.dumps(asdict(task))]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.calls: list[str] = self._answer()["calls"]

    def run(self, call: str) -> float:
        """Seconds of one call."""
        seconds: float = self._ask({"call": call})["seconds"]
        return seconds

    def output(self, call: str, folder: Path) -> Floats:
        """The image that a call gives."""
        path = folder / f"{self.engine}.npy"
        self._ask({"call": call, "save": str(path)})
        image: Floats = np.load(path)
        return image

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, request: dict[str, str]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SigeError(
                f"{self.engine} ended unexpectedly, with status {self._process.wait()}: see its output above"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SigeError(f"{self.engine}: {answer['error']}")
        return answer


def main(engine: str, task: str) -> None:
    """The worker's end."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the engines print must not get among the answers
    try:
        calls: Calls = importlib.import_module(f"benchmarks.against.engines.{engine}").load(Task(**json.loads(task)))
    except SigeError as error:
        answers.write(json.dumps({"error": str(error)}) + "\n")
        return
    except ModuleNotFoundError as error:
        hint = f"{error}: pip install 'sige-mlx[bench]' brings what the other engines need"
        answers.write(json.dumps({"error": hint}) + "\n")
        return
    answers.write(json.dumps({"calls": list(calls)}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        call = calls[request["call"]]
        call.before()
        start = time.perf_counter()
        output = call.run()
        seconds = time.perf_counter() - start
        if "save" in request and output is not None:
            np.save(request["save"], output)
        answers.write(json.dumps({"seconds": seconds}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
