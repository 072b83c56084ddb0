"""What an engine keeps of originals, step by step: the one place that counts their bytes and says how many fit."""

import os
import threading
from collections.abc import Hashable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.changes import Change, Replaced
from sige_mlx.errors import SigeError

SHARE = 0.7
"""The part of the machine's memory that recordings may take."""


@dataclass
class Record:
    """The arrays that edits read of one pass over the original, by the keys of the executor that made them."""

    arrays: MutableMapping[Any, Any]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self.arrays.values())


@dataclass
class RecordedStep:
    """What is kept of one step: the record, and the inputs that are no images."""

    record: Record
    conditions: Mapping[str, npt.NDArray[np.float32]]
    """On the host, where comparing them waits for nothing that the GPU still computes."""
    state: object = field(default_factory=object)
    """Another one after every commit; that of before after it was undone."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held by whoever reads or changes the record."""

    def changed(self, replaced: Replaced | Record, state: object | None = None) -> Change:
        """Notes that parts of the record were replaced; it is in a new state, or in one that it was in before."""
        before, self.state = self.state, object() if state is None else state
        return Change(replaced, before, self.state)


class Holder(Protocol):
    """Where recordings are: an executor."""

    def record_nbytes(self, codec: str) -> int:
        """Bytes that recording one step keeps, planes stored so."""
        ...

    def holds(self, nbytes: int) -> None:
        """Is told how many bytes of recordings there are, whenever that changes."""


class Recordings:
    """The recorded steps of an engine, by any names."""

    def __init__(self, holder: Holder):
        self._holder = holder
        self._steps: dict[Hashable, RecordedStep] = {}

    @property
    def step_nbytes(self) -> int:
        """Bytes that recording one more step keeps."""
        return self._holder.record_nbytes("float32")

    @property
    def nbytes(self) -> int:
        """Bytes held for all recorded steps."""
        return sum(step.record.nbytes for step in self._steps.values())

    def check(self, steps: int) -> None:
        """Raises `SigeError` when so many more steps would not fit into the memory that recordings may take."""
        each, memory = self.step_nbytes, physical_memory()
        left = max(int(SHARE * memory) - self.nbytes, 0)
        if steps * each > left:
            raise SigeError(
                f"{steps} steps of this model keep {steps * each / 2**30:.1f} GiB of activations, and of this machine's"
                f" {memory / 2**30:.0f} GiB {left / 2**30:.1f} may be used: take at most {left // each}"
            )

    def keep(self, step: Hashable, recorded: RecordedStep) -> None:
        """Keeps a step, in place of what was kept of it."""
        self._steps[step] = recorded
        self._holder.holds(self.nbytes)

    def of(self, step: Hashable) -> RecordedStep:
        """What is kept of a step; raises `SigeError` when that is nothing."""
        if step not in self._steps:
            raise SigeError(f"step {step!r} was not recorded: call record({step!r}, …) on the original first")
        return self._steps[step]

    def forget(self, step: Hashable | None = None) -> None:
        """Drops what is kept of a step, or of all."""
        if step is None:
            self._steps.clear()
        else:
            self._steps.pop(step, None)
        self._holder.holds(self.nbytes)


def physical_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
