"""`sige-mlx doctor`: what this machine has, and whether the engine computes the right thing on it."""

import dataclasses
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError
from sige_mlx.token_models import MODELS

if TYPE_CHECKING:
    from sige_mlx.benchmark.protocol import Progress
    from sige_mlx.cli.gpu_check import Contact
    from sige_mlx.engine.gpu.launch import Device

APPLE_SILICON = sys.platform == "darwin" and platform.machine() == "arm64"

NOT_CHECKED = (
    "the macOS library: that Apple's clang builds it, and that it loads from an installed package",
    "the NEON kernels on Apple's cores: their results and their speed",
    "tiles handed out over fast and slow cores",
    "the reference executor on MLX's GPU",
)
GPU_NOT_CHECKED = "the GPU, its kernels, each family of networks on it, and its speed: this machine has no Metal"
GPU_MODELLED = "a real GPU, and its speed: kernels and networks ran on a model of one"
GPU_VIRTUAL = "the GPU, its kernels, each family of networks on it, and its speed: {}, so kernels were skipped"


def doctor(
    threads: options.Threads = 0,
    json: options.AsJson = False,
    coreml: Annotated[
        Path | None, typer.Option(metavar="PACKAGE", help="Check a package of `sige-mlx export`, and nothing else.")
    ] = None,
    model: options.Model = None,
    bits: options.Bits = None,
) -> None:
    """Report the environment and check the engine: to be pasted into an issue.

    A small random network is run by the native engine and by plain MLX, densely and for several edits, and the results
    are compared. Where there is a GPU, every kernel is tried on small inputs, and how long the first contact with them
    takes is told; a small network of each family, and one with many channels, runs on the GPU and on the CPU. Last
    comes a benchmark of a few seconds, of dense passes and edits on the CPU and on the GPU, there also of edits after a
    pause. Exit status 1 if a check fails.

    With --coreml every function of a package for Core ML is compared with the CPU engine: on a Mac as Core ML runs it,
    on each of its compute units, with what it means to run where and how long it takes; elsewhere by an interpreter.
    --model is then the model that it was exported of.

    With --model flux2-klein-4b three edits by tokens are made, each beside the same one computed densely: the
    difference in the mask, the seams, seconds and memory. That needs mflux, and the weights, which it fetches.
    """
    if model in MODELS and coreml is None:
        from sige_mlx.cli.tokens_check import check

        check(str(model), bits, json)
        return
    if bits is not None:
        raise SigeError(f"--bits goes with --model {' or '.join(MODELS)}")
    if coreml is not None:
        _coreml(coreml, model, threads, json)
        return
    if model is not None:
        raise SigeError("--model goes with --coreml PACKAGE: without it the engine is checked on networks of its own")
    import mlx.core as mx

    from sige_mlx.cli.gpu_check import gpu_checks
    from sige_mlx.cli.self_check import self_checks
    from sige_mlx.engine.gpu.launch import virtual_gpu

    found = _environment(threads)
    unchecked = [] if APPLE_SILICON else [*NOT_CHECKED]
    devices = ["cpu"]
    contacts: Sequence[Contact] = ()
    if virtual_gpu():
        mx.set_default_device(mx.cpu)  # what the engine is compared with should not be computed there
    bars = {"check": "checking the engine", "gpu": "trying kernels", "measure": "measuring"}
    with terminal.progress_bars(bars) as tell:
        checks = self_checks(threads, tell)
        gpu, why_not = _gpu()
        if gpu is None:
            unchecked.append(why_not)
        else:
            mx.reset_peak_memory()
            of_gpu, contacts = gpu_checks(gpu, threads, tell)
            checks += of_gpu
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
        report["first_contact"] = [dataclasses.asdict(c) for c in contacts]
        terminal.print_json({**report, "not_checked_here": unchecked})
    else:
        terminal.pairs([(name.replace("_", " "), str(value)) for name, value in found.items()])
        terminal.say("\nChecks")
        terminal.pairs([("passed" if c.passed else "FAILED", f"{c.name}: {c.detail}") for c in checks])
        _print_contacts(contacts)
        _print_benchmark(measured)
        if unchecked:
            terminal.say("\nNot checked here" + ("" if APPLE_SILICON else ", for this is no Mac with Apple silicon"))
            terminal.pairs([("-", item) for item in unchecked])
    if not passed:
        raise typer.Exit(1)


def _coreml(path: Path, model: str | None, threads: int, json: bool) -> None:
    from sige_mlx.cli.coreml_check import coreml_report

    with terminal.progress_bars({"check": "checking the package"}) as tell:
        report = coreml_report(path, model, threads, tell)
    passed = all(check.passed for check in report.checks)
    if json:
        checks = [check._asdict() for check in report.checks]
        told = {"checks": checks, "passed": passed, "compute_plan": report.plan, "milliseconds": report.times}
        terminal.print_json({**told, "not_checked_here": report.unchecked})
    else:
        terminal.pairs([("passed" if c.passed else "FAILED", f"{c.name}: {c.detail}") for c in report.checks])
        for units, functions in report.plan.items():
            terminal.say(f"\nWhere Core ML means to run operations, on {units}")
            terminal.pairs([(n, ", ".join(f"{k} {v}" for k, v in of.items())) for n, of in functions.items()])
        if report.times:
            terminal.say("\nMilliseconds")
            rows = [(units, n, f"{ms:.1f}") for units, of in report.times.items() for n, ms in of.items()]
            terminal.table(["", "", "ms"], rows)
            terminal.say(_verdict(report.times))
        if report.unchecked:
            terminal.say("\nNot checked")
            terminal.pairs([("-", item) for item in report.unchecked])
    if not passed:
        raise typer.Exit(1)


def _verdict(times: Mapping[str, Mapping[str, float]]) -> str:
    """Whether the fastest edit of the package beats Core ML's own dense pass, and our engine."""
    own = {units: of for units, of in times.items() if units.startswith("our engine")}
    theirs = {units: of for units, of in times.items() if units not in own}
    names = sorted({n for of in theirs.values() for n in of if n.startswith("edit_")})
    dense = min((of["dense"] for of in theirs.values() if "dense" in of), default=None)
    lines = []
    for name in names:
        best = min(of[name] for of in theirs.values() if name in of)
        engine = min((of[name] for of in own.values() if name in of), default=None)
        said = [
            f"{'faster' if best < other else 'NOT faster'} than {what}"
            for other, what in ((dense, "Core ML's dense pass"), (engine, "our own engine"))
            if other is not None
        ]
        lines.append(f"{name} is {' and '.join(said)}" if said else f"{name}: nothing to compare it with")
    return "\n".join(lines)


def _gpu() -> "tuple[Device | None, str]":
    """What kernels are tried on, or why none are."""
    from sige_mlx.engine.gpu.launch import device, virtual_gpu

    try:
        found = device()
    except SigeError:
        virtual = virtual_gpu()
        return None, GPU_VIRTUAL.format(virtual) if virtual else GPU_NOT_CHECKED
    return (None, GPU_VIRTUAL.format(found.unfit)) if found.unfit else (found, "")


def _print_contacts(contacts: "Sequence[Contact]") -> None:
    if not contacts:
        return
    terminal.say("\nCompiling kernels, each with its first run; what the system has compiled before is quicker")
    rows = [(c.kernel, f"{c.variants}", f"{c.seconds:.1f}", f"{1e3 * c.slowest:.0f}") for c in contacts]
    total = (sum(c.variants for c in contacts), sum(c.seconds for c in contacts), max(c.slowest for c in contacts))
    rows.append(("all", f"{total[0]}", f"{total[1]:.1f}", f"{1e3 * total[2]:.0f}"))
    terminal.table(["", "variants", "seconds", "slowest ms"], rows)


def _benchmark(devices: Sequence[str], threads: int, tell: "Progress") -> dict[str, Any]:
    """What was measured, or why nothing was."""
    from sige_mlx.benchmark.protocol import PAUSE
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
        "pause_seconds": PAUSE,
        "devices": {
            s.device: {
                "dense_ms": s.dense_ms,
                "edit_ms": s.edit_ms,
                "dense_over_edit": s.speedup,
                "edit_at_once_ms": s.at_once_ms,
                "edit_after_pause_ms": s.after_pause_ms,
            }
            for s in speeds
        },
        "cpu_over_gpu": {
            what: getattr(speeds[0], f"{what}_ms") / getattr(s, f"{what}_ms")
            for s in speeds[1:]
            for what in ("dense", "edit")
        },
    }


def _print_benchmark(measured: dict[str, Any]) -> None:
    if "not_measured" in measured:
        terminal.say(f"\nNothing was measured: {measured['not_measured']}")
        return
    terminal.say(f"\nMeasured: {measured['network']}, an edit of {measured['edited_percent']} % of the pixels")
    rows = [
        (device, f"{of['dense_ms']:.1f}", f"{of['edit_ms']:.1f}", f"{of['dense_over_edit']:.2f}x")
        for device, of in measured["devices"].items()
    ]
    if ratios := measured["cpu_over_gpu"]:
        rows.append(("cpu / gpu", f"{ratios['dense']:.2f}x", f"{ratios['edit']:.2f}x", ""))
    terminal.table(["", "dense ms", "edit ms", "dense / edit"], rows)
    for device, of in measured["devices"].items():
        if of["edit_after_pause_ms"] is not None:
            terminal.say(
                f"An edit on the {device} right after another takes {of['edit_at_once_ms']:.1f} ms, after a pause of"
                f" {measured['pause_seconds']:g} seconds {of['edit_after_pause_ms']:.1f} ms"
            )


def _environment(threads: int) -> dict[str, Any]:
    import os
    from importlib.metadata import PackageNotFoundError, version

    import mlx.core as mx

    from sige_mlx.engine.gpu.launch import has_gpu

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
    if has_gpu():
        gpu = mx.device_info(mx.gpu)
        found["gpu"] = f"{gpu.get('device_name')}, {gpu.get('architecture')}"
        found["gpu_memory_recommended_gib"] = round(int(gpu.get("max_recommended_working_set_size", 0)) / 2**30, 1)
    found["native_library"] = _native_library(threads)
    return found


def _native_library(threads: int) -> str:
    from sige_mlx.engine.native import blas, library
    from sige_mlx.engine.native.pool import Pool

    try:
        path, others = library.library()._name, [s for s in library.instruction_sets() if s != library.simd()]
        instructions = library.simd() + (f" (also has {', '.join(others)})" if others else "")
        multiplies = f", large products by {of}" if (of := blas.in_use()) else ""
        return f"{path}: {instructions}, {Pool(threads).threads} threads{multiplies}"
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
