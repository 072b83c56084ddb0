"""How the CPU computes the convolutions of a pass, and what bounds each on this machine, as text and as JSON."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from sige_mlx.arguments import whole
from sige_mlx.cli import terminal
from sige_mlx.engine.native import explained
from sige_mlx.engine.native.explained import Explained, Limits
from sige_mlx.engine.native.library import simd
from sige_mlx.engine.native.pool import Pool
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.tiling import Tiling


@dataclass(frozen=True)
class Explanation:
    """The convolutions of a pass on a machine of these limits, with its instruction set in use and so many threads."""

    of: str
    convolutions: list[Explained]
    limits: Limits
    instruction_set: str
    threads: int

    @property
    def seconds(self) -> float:
        """All convolutions take so long at least."""
        return sum(c.seconds(self.limits) for c in self.convolutions)

    def as_json(self) -> dict[str, Any]:
        """Bytes, multiplications, and milliseconds at least."""
        return {
            "explained": {
                "pass": self.of,
                "instruction_set": self.instruction_set,
                "threads": self.threads,
                "measured": {
                    "gflops": self.limits.flops / 1e9,
                    "bandwidth_gb_per_s": self.limits.bandwidth / 1e9,
                },
                "macs": sum(c.macs for c in self.convolutions),
                "macs_left": sum(c.macs_left for c in self.convolutions),
                "weight_nbytes": sum(c.weight_nbytes for c in self.convolutions),
                "nbytes": sum(c.nbytes for c in self.convolutions),
                "ms_at_least": 1e3 * self.seconds,
                "convolutions": [
                    dataclasses.asdict(c) | {"ms_at_least": 1e3 * c.seconds(self.limits), "bound": c.bound(self.limits)}
                    for c in self.convolutions
                ],
            }
        }

    def print(self) -> None:
        """A line for each convolution, what they are in all, and what the machine was measured at."""
        columns = [self.of, "writes", "channels", "method", "filters", "chunks", "MMACs", "left", "MB weights"]
        rows = [_row(c, self.limits) for c in self.convolutions]
        of_bound = {name: [c for c in self.convolutions if c.bound(self.limits) == name] for name in ("FMA", "memory")}
        for name, group in of_bound.items():
            seconds = sum(c.seconds(self.limits) for c in group)
            rows.append([f"bound by {name}: {len(group)}", "", "", "", "", "", *_sums(group), _ms(seconds), name])
        rows.append(["all", "", "", "", "", "", *_sums(self.convolutions), _ms(self.seconds), ""])
        terminal.say()
        terminal.table([*columns, "ms at least", "bound"], rows)
        terminal.say(
            f"\nMeasured just now, by {self.instruction_set} on {self.threads} "
            f"thread{'s' if self.threads > 1 else ''}: {self.limits.flops / 1e9:.0f} GFLOPS in registers, "
            f"{self.limits.bandwidth / 1e9:.1f} GB/s copied. At least is the longer of two times: of the "
            "multiplications left, and of every byte moved once."
        )


def explain(lowered: Lowered, tiling: Tiling | None, threads: int) -> Explanation:
    """Explains the edit of these tiles, or without one the dense pass; measures this machine on so many threads, for 0
    one per processor. An empty edit has no convolutions."""
    program = lowered.dense if tiling is None else lowered.edit_of(tiling)
    found = [] if tiling is not None and tiling.empty else explained.explain(program, tiling)
    count = Pool(whole(threads, "threads", 0)).threads
    limits = explained.measured(count)
    return Explanation("dense pass" if tiling is None else "edit", found, limits, simd(), count)


def _row(c: Explained, limits: Limits) -> list[str]:
    plane = f"{c.plane[1]}×{c.plane[0]}" + ("" if c.tiles is None else f", {c.tiles} tiles")
    channels = f"{c.channels[0]}→{c.channels[1]}"
    chunks = "" if c.chunks is None else f"{c.chunks}"
    of = [c.layer, plane, channels, c.method, c.filters or "", chunks, *_sums([c])]
    return [*of, _ms(c.seconds(limits)), c.bound(limits)]


def _sums(convolutions: list[Explained]) -> list[str]:
    macs, left = (sum(getattr(c, name) for c in convolutions) for name in ("macs", "macs_left"))
    weights = sum(c.weight_nbytes for c in convolutions)
    return [f"{macs / 1e6:.1f}", f"{left / 1e6:.1f}", f"{weights / 1e6:.2f}"]


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3f}"
