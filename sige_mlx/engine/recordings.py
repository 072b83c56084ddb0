"""What an engine keeps of originals, step by step: the one place that counts its bytes, and says how and where it is
kept so that it fits."""

import os
import threading
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sige_mlx.cache import cache_folder
from sige_mlx.engine.changes import Change, Replaced
from sige_mlx.engine.files import room
from sige_mlx.errors import SigeError
from sige_mlx.graph.tiling import Tiling

SHARE = 1 / 4
"""The part of the machine's memory that recordings may take where nobody says otherwise."""

GIB = 2**30

Codec = Literal["float32", "bfloat16", "float16", "int8"]
"""How planes are kept: as they are, as halves, or as bytes with a scale and a least value for each tile and channel;
keys and values of tokens alike, as bytes with a scale for each token."""


class Kept(NamedTuple):
    """Bytes that recordings take."""

    memory: int
    disk: int


@dataclass
class Record:
    """The arrays that edits read of one pass over the original, by the keys of the executor that made them."""

    arrays: dict[Any, Any]

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in self.arrays.values())

    @property
    def kept(self) -> Kept:
        """Where its bytes are."""
        return Kept(self.nbytes, 0)


@dataclass
class RecordedStep:
    """What is kept of one step: the record, and the inputs that are no images."""

    record: Any
    conditions: Mapping[str, npt.NDArray[np.float32]]
    """On the host, where comparing them waits for nothing that the GPU still computes."""
    only: Tiling | None = None
    """The record has what an edit of these tiles reads, and no more."""
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

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """How it can keep planes, the most exact first."""
        ...

    @property
    def on_disk(self) -> bool:
        """Whether it can read a record that is on the disk."""
        ...

    def record_nbytes(self, codec: Codec) -> int:
        """Bytes that recording one step keeps, planes by this codec."""
        ...

    def put_on_disk(self, record: Any, folder: Any) -> None:
        """Moves a record into a file without a name in a folder. Raises `SigeError` when that cannot be written."""
        ...

    def holds(self, nbytes: int) -> None:
        """Is told how many bytes of recordings there are in memory, whenever that changes."""


class Recordings:
    """The recorded steps of an engine, by any names.

    They take at most `budget` bytes of memory; None is a quarter of the machine's. `check` chooses how: in float32
    where all steps fit, else in float16 or int8, else, those that are left, in files in the cache folder. Such a file
    has no name and goes with the process, however that ends.
    """

    def __init__(self, holder: Holder):
        self.budget: int | None = None
        self._holder = holder
        self._codec = holder.codecs[0]
        self._steps: dict[Hashable, RecordedStep] = {}

    @property
    def codec(self) -> Codec:
        """How planes of the steps that are recorded next are kept. Setting it raises `SigeError` for a codec that the
        device has not."""
        return self._codec

    @codec.setter
    def codec(self, codec: Codec) -> None:
        known = self._holder.codecs
        if codec not in known:
            others = "" if self._holder.on_disk else "; others, and recordings on the disk, are the CPU's"
            raise SigeError(f"this engine keeps recordings in {' or '.join(known)}, not in {codec!r}{others}")
        self._codec = codec

    def step_nbytes(self, codec: Codec | None = None) -> int:
        """Bytes that recording one more step keeps, planes by a codec or by that of now."""
        return self._holder.record_nbytes(codec or self.codec)

    @property
    def nbytes(self) -> int:
        """Bytes held for all recorded steps."""
        return sum(self.kept)

    @property
    def kept(self) -> Kept:
        """Bytes held for all recorded steps, by where they are."""
        of = [step.record.kept for step in [*self._steps.values()]]
        return Kept(sum(kept.memory for kept in of), sum(kept.disk for kept in of))

    @property
    def limit(self) -> int:
        """Bytes of memory that recordings may take."""
        return int(SHARE * physical_memory()) if self.budget is None else self.budget

    @property
    def _left(self) -> int:
        """Bytes of memory that are left for recordings."""
        return max(self.limit - self.kept.memory, 0)

    def have_room(self, steps: int) -> bool:
        """Whether so many more steps fit into memory by the most exact codec."""
        return steps * self.step_nbytes(self._holder.codecs[0]) <= self._left

    def check(self, steps: int) -> Codec:
        """Chooses how so many more steps are kept: by the first codec of which all fit into the memory that is left,
        else by the smallest, as many as fit in memory and the others on the disk. Raises `SigeError` when they do not
        fit so either."""
        left = self._left
        for codec in self._holder.codecs:
            if steps * self.step_nbytes(codec) <= left:
                self.codec = codec
                return codec
        codec = self._holder.codecs[-1]
        each = self.step_nbytes(codec)
        disk = room(cache_folder()) if self._holder.on_disk else 0
        most = left // each + disk // each
        if steps > most:
            elsewhere = f" and {disk / GIB:.1f} GiB of disk" if self._holder.on_disk else ""
            cpu = "" if self._holder.on_disk else " (int8, and recordings on the disk, are the CPU's)"
            raise SigeError(
                f"{steps} steps of this model keep {steps * each / GIB:.1f} GiB of activations, and"
                f" {left / GIB:.1f} GiB of memory{elsewhere} may be used{cpu}: take at most {most}"
            )
        self.codec = codec
        return codec

    def keep(self, step: Hashable, recorded: RecordedStep) -> None:
        """Keeps a step, in place of what was kept of it: on the disk, when there is no room for it in memory. Raises
        `SigeError` when it cannot be written there."""
        self.forget(step)
        self._put(recorded.record)
        self._steps[step] = recorded
        self._tell()

    def exchange(self, recorded: RecordedStep, record: Any) -> Any:
        """Gives a step another record, and returns the one that it had. Raises `SigeError` as `keep` does."""
        before, recorded.record = recorded.record, Record({})
        try:
            self._put(record)
        except BaseException:
            recorded.record = before
            raise
        recorded.record = record
        self._tell()
        return before

    def _put(self, record: Any) -> None:
        """Puts a record on the disk, when there is no room for it in memory."""
        fits = self.kept.memory + record.kept.memory <= self.limit
        if not fits and self._holder.on_disk:
            self._holder.put_on_disk(record, cache_folder())

    def __contains__(self, step: Hashable) -> bool:
        return step in self._steps

    def of(self, step: Hashable) -> RecordedStep:
        """What is kept of a step; raises `SigeError` when that is nothing."""
        if step not in self._steps:
            raise SigeError(f"step {step!r} was not recorded: call record({step!r}, …) on the original first")
        return self._steps[step]

    def after(self, step: Hashable) -> Iterator[RecordedStep]:
        """The steps that were recorded after one, in order: an edit wants them next."""
        steps = iter([*self._steps])
        for name in steps:
            if name == step:
                break
        for name in steps:
            if name in self._steps:
                yield self._steps[name]

    def forget(self, step: Hashable | None = None) -> None:
        """Drops what is kept of a step, or of all."""
        if step is None:
            self._steps.clear()
        else:
            self._steps.pop(step, None)
        self._tell()

    def _tell(self) -> None:
        self._holder.holds(self.kept.memory)


def physical_memory() -> int:
    """Bytes of memory that the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
