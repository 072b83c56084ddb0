"""`sige-mlx doctor`: what this machine has, and whether the engine computes the right thing on it."""

import platform
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from sige_mlx.cli import options, terminal

if TYPE_CHECKING:
    from sige_mlx.benchmark.protocol import Progress

APPLE_SILICON = sys.platform == "darwin" and platform.machine() == "arm64"

NOT_CHECKED = (
    "the macOS library: that Apple's clang builds it, and that it loads from an installed package",
    "the NEON kernels on Apple's cores: their results and their speed",
    "tiles handed out over fast and slow cores",
    "the reference executor on MLX's GPU",
)
GPU_NOT_CHECKED = (
    "the GPU, its kernels, each family of networks on it, and its speed: this machine has no Metal; SIGE_METAL=sim"
    " models all but speed"
)
GPU_MODELLED = "a real GPU, and its speed: kernels and networks ran on the model of Metal"


def doctor(threads: options.Threads = 0, json: options.AsJson = False) -> None:
    """Report the environment and check the engine: to be pasted into an issue.

    A small random network is run by the native engine and by plain MLX, densely and for several edits, and the results
    are compared. Where there is a GPU, or with SIGE_METAL=sim the model of one, every kernel is tried on small inputs,
    and a small network of each family runs on the GPU and on the CPU. Last comes a benchmark of a second or two, of
    dense passes and edits on the CPU and on a real GPU. Exit status 1 if a check fails.
    """
    import mlx.core as mx

    from sige_mlx.cli.gpu_check import gpu_checks
    from sige_mlx.cli.self_check import self_checks
    from sige_mlx.engine.gpu.launch import device
    from sige_mlx.errors import SigeError

    found = _environment(threads)
    unchecked = [] if APPLE_SILICON else [*NOT_CHECKED]
    devices = ["cpu"]
    bars = {"check": "checking the engine", "gpu": "trying kernels", "measure": "measuring"}
    with terminal.progress_bars(bars) as tell:
        checks = self_checks(threads, tell)
        try:
            gpu = device()
        except SigeError:
            unchecked.append(GPU_NOT_CHECKED)
        else:
            mx.reset_peak_memory()
            checks += gpu_checks(gpu, threads, tell)
            found["gpu_checks_peak_mib"] = round(mx.get_peak_memory() / 2**20)
            if gpu.identity is None:
                unchecked.append(GPU_MODELLED)
            else:
                devices.append("gpu")
        measured = _benchmark(devices, threads, tell)
    found["memory_peak_mib"] = round(_peak_memory() / 2**20)
    passed = all(check.passed for check in checks)
    if json:
        results = [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in checks]
        report = {"environment": found, "checks": results, "passed": passed, "benchmark": measured}
        terminal.print_json({**report, "not_checked_here": unchecked})
    else:
        terminal.pairs([(name.replace("_", " "), str(value)) for name, value in found.items()])
        typer.echo("\nChecks")
        terminal.pairs([("passed" if c.passed else "FAILED", f"{c.name}: {c.detail}") for c in checks])
        _print_benchmark(measured)
        if unchecked:
            typer.echo("\nNot checked here" + ("" if APPLE_SILICON else ", for this is no Mac with Apple silicon"))
            terminal.pairs([("-", item) for item in unchecked])
    if not passed:
        raise typer.Exit(1)


def _benchmark(devices: Sequence[str], threads: int, tell: "Progress") -> dict[str, Any]:
    """What was measured, or why nothing was."""
    from sige_mlx.cli import short_bench
    from sige_mlx.errors import first_line

    try:
        speeds = short_bench.short_benchmark(devices, threads, tell)
    except Exception as raised:  # whatever MLX, the compiler or the driver raise; the checks have said it, too
        return {"not_measured": first_line(raised)}
    c = short_bench.NETWORK
    return {
        "network": f"ddpm, {c.image_size} x {c.image_size}, {c.ch} channels",
        "edited_percent": short_bench.EDITED,
        "devices": {
            s.device: {"dense_ms": s.dense_ms, "edit_ms": s.edit_ms, "dense_over_edit": s.speedup} for s in speeds
        },
        "cpu_over_gpu": {
            what: getattr(speeds[0], f"{what}_ms") / getattr(s, f"{what}_ms")
            for s in speeds[1:]
            for what in ("dense", "edit")
        },
    }


def _print_benchmark(measured: dict[str, Any]) -> None:
    if "not_measured" in measured:
        typer.echo(f"\nNothing was measured: {measured['not_measured']}")
        return
    typer.echo(f"\nMeasured: {measured['network']}, an edit of {measured['edited_percent']} % of the pixels")
    rows = [
        (device, f"{of['dense_ms']:.1f}", f"{of['edit_ms']:.1f}", f"{of['dense_over_edit']:.2f}x")
        for device, of in measured["devices"].items()
    ]
    if ratios := measured["cpu_over_gpu"]:
        rows.append(("cpu / gpu", f"{ratios['dense']:.2f}x", f"{ratios['edit']:.2f}x", ""))
    terminal.table(["", "dense ms", "edit ms", "dense / edit"], rows)


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
    from sige_mlx.engine.native.pool import Pool
    from sige_mlx.errors import SigeError

    try:
        path, others = library.library()._name, [s for s in library.instruction_sets() if s != library.simd()]
        instructions = library.simd() + (f" (also has {', '.join(others)})" if others else "")
        return f"{path}: {instructions}, {Pool(threads).threads} threads"
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
