"""How cores of different speed share an op, as `cpu/src/pool.c` and `run_thread` in `cpu/src/conv.c` let threads."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

FORK = 0.6e-6
"""Seconds from sharing a loop until others have come, and from the last item until all know; `sige_cpu_fork` measures
it. No others wake up in the model: in the middle of a pass they spin."""

SHARED_FROM = 4e-6
"""Seconds; ops below are not shared (`sige_shared_from` in `cpu/src/pool.c`)."""

PREPARING = 0.1
"""Share of a chunk's time in which its input is brought in, once more for every core that helps with it. An
assumption: gathering and transforming take 5 to 20 % of convolutions with 128 to 512 channels."""


@dataclass(frozen=True)
class Pieces:
    """What can be claimed of an op that takes a fast core so many seconds: chunks, and panels of each."""

    seconds: float
    chunks: int
    panels: int


@dataclass(frozen=True)
class Shared:
    """How cores shared ops."""

    seconds: float
    waited: float
    """Seconds of all cores together in which they had nothing to do."""


def share(op: Pieces, speeds: Sequence[float]) -> Shared:
    """Lets cores, the first of which runs the program, share an op; `speeds` are parts of a fast core's."""
    if op.seconds < SHARED_FROM or len(speeds) == 1 or op.chunks * op.panels == 1:
        seconds = op.seconds / speeds[0]
        return Shared(seconds, seconds * (len(speeds) - 1))
    chunk = op.seconds / op.chunks
    preparing = PREPARING * chunk if op.panels > 1 else 0.0
    panel = (chunk - preparing) / op.panels
    claimed = [0] * op.chunks
    begun = 0
    has: list[int | None] = [None] * len(speeds)
    events = [(0.0, core) for core in range(len(speeds))]
    busy = end = 0.0
    while events:
        now, core = heapq.heappop(events)
        at, work = has[core], panel
        if at is None or claimed[at] == op.panels:
            work += preparing
            if begun < op.chunks:
                at, begun = begun, begun + 1
            else:
                last = range(op.chunks - 1, max(-1, op.chunks - 1 - len(speeds)), -1)
                at = next((i for i in last if claimed[i] < op.panels - 1), None)
            has[core] = at
            if at is None:
                continue
            if claimed[at] == op.panels:  # whoever began it later has taken all
                heapq.heappush(events, (now, core))
                continue
        claimed[at] += 1
        seconds = work / speeds[core]
        busy, end = busy + seconds, max(end, now + seconds)
        heapq.heappush(events, (now + seconds, core))
    return Shared(end + FORK, (end + FORK) * len(speeds) - busy)


def share_all(ops: Sequence[Pieces], speeds: Sequence[float]) -> Shared:
    """The same of one op after another."""
    each = [share(op, speeds) for op in ops]
    return Shared(sum(s.seconds for s in each), sum(s.waited for s in each))


def in_equal_shares(ops: Sequence[Pieces], speeds: Sequence[float]) -> float:
    """Returns the seconds of a pass that gives every core as much of each op: all wait for the slowest one."""
    slowest = len(speeds) * min(speeds)
    return sum(op.seconds / (slowest if op.seconds >= SHARED_FROM else speeds[0]) for op in ops)
