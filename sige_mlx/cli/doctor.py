"""`sige-mlx doctor`: what this machine has, and whether the engine computes the right thing on it."""

import platform
import sys
from typing import Any

import typer

from sige_mlx.cli import options, terminal

APPLE_SILICON = sys.platform == "darwin" and platform.machine() == "arm64"

NOT_CHECKED = (
    "the macOS library: that Apple's clang builds it, and that it loads from an installed package",
    "the NEON kernels on Apple's cores: their results and their speed",
    "tiles handed out over fast and slow cores",
    "the reference executor on MLX's GPU",
)
GPU_NOT_CHECKED = (
    "the GPU, its kernels and each family of networks on it: this machine has no Metal; SIGE_METAL=sim models it"
)
GPU_MODELLED = "a real GPU: kernels and networks ran on the model of Metal"


def doctor(threads: options.Threads = 0, json: options.AsJson = False) -> None:
    """Report the environment and check the engine: to be pasted into an issue.

    A small random network is run by the native engine and by plain MLX, densely and for several edits, and the results
    are compared. Where there is a GPU, or with SIGE_METAL=sim the model of one, every kernel is tried on small inputs,
    and a small network of each family runs on the GPU and on the CPU. Exit status 1 if a check fails.
    """
    from sige_mlx.cli.gpu_check import gpu_checks
    from sige_mlx.cli.self_check import self_checks
    from sige_mlx.engine.gpu.launch import device
    from sige_mlx.errors import SigeError

    found = _environment(threads)
    unchecked = [] if APPLE_SILICON else [*NOT_CHECKED]
    with terminal.progress_bars({"check": "checking the engine", "gpu": "trying kernels"}) as tell:
        checks = self_checks(threads, tell)
        try:
            gpu = device()
        except SigeError:
            unchecked.append(GPU_NOT_CHECKED)
        else:
            checks += gpu_checks(gpu, threads, tell)
            if gpu.identity is None:
                unchecked.append(GPU_MODELLED)
    found["memory_peak_mib"] = round(_peak_memory() / 2**20)
    passed = all(check.passed for check in checks)
    if json:
        results = [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in checks]
        report = {"environment": found, "checks": results, "passed": passed, "not_checked_here": unchecked}
        terminal.print_json(report)
    else:
        terminal.pairs([(name.replace("_", " "), str(value)) for name, value in found.items()])
        typer.echo("\nChecks")
        terminal.pairs([("passed" if c.passed else "FAILED", f"{c.name}: {c.detail}") for c in checks])
        if unchecked:
            typer.echo("\nNot checked here" + ("" if APPLE_SILICON else ", for this is no Mac with Apple silicon"))
            terminal.pairs([("-", item) for item in unchecked])
    if not passed:
        raise typer.Exit(1)


def _environment(threads: int) -> dict[str, Any]:
    import os
    from importlib.metadata import PackageNotFoundError, version

    import mlx.core as mx

    found: dict[str, Any] = {}
    for package in ("sige-mlx", "mlx", "numpy", "pillow"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    found["python"] = platform.python_version()
    found["platform"] = platform.platform()
    found["processor"] = _processor()
    found["processors"] = os.cpu_count()
    found["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    found["mlx_device"] = str(mx.default_device())
    found["native_library"] = _native_library(threads)
    return found


def _native_library(threads: int) -> str:
    from sige_mlx.engine.native import library
    from sige_mlx.engine.native.runner import Runner
    from sige_mlx.errors import SigeError

    try:
        return f"{library.library()._name} ({library.simd()}, {Runner(threads).threads} threads)"
    except SigeError as error:
        return str(error)


def _processor() -> str:
    """The chip's name as the system gives it."""
    import subprocess

    if sys.platform == "darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or platform.machine()
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _peak_memory() -> int:
    """Bytes that this process has had resident at most."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
