"""The engine: run a network, record it on an image, and recompute edits of that image."""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import mlx.core as mx
import mlx.nn
import numpy as np
import numpy.typing as npt

from sige_mlx.arguments import whole
from sige_mlx.engine import growth
from sige_mlx.engine.changes import Change, Replaced
from sige_mlx.engine.estimates import half, shrunk
from sige_mlx.engine.executor import DEVICES, executor_of
from sige_mlx.engine.files import BLOCKS
from sige_mlx.engine.inputs import Input, checked, with_embeddings
from sige_mlx.engine.prepared import PreparedEdit
from sige_mlx.engine.recordings import Codec, Record, RecordedStep, Recordings
from sige_mlx.engine.statistics import Doubles
from sige_mlx.engine.weights import Loader
from sige_mlx.errors import SigeError
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.graph.program import Program
from sige_mlx.graph.tiling import Tiling
from sige_mlx.nn.module import parameters
from sige_mlx.nn.precisions import PRECISIONS


class Engine:
    """A network on a device.

    `model` is an MLX module with `inputs(batch)`, the names and shapes of its arguments. `device` is "cpu", the native
    engine, "gpu", Metal, or "reference", plain MLX. `policy` says what edits recompute; `load` gives parameters by
    name, when they should not be taken from the model. `precision` is what the GPU stores values and weights as,
    "float16" by default; the other devices compute in "float32". Inputs and outputs are float32 arrays, NHWC. Images
    have the network's own size, or another `size` (H, W), whose sides are multiples of `lowered.granularity`.

    Threads may share an engine: passes run one at a time, and who edits or commits a step waits for whoever does so
    with the same one. MLX computes lazily where it was asked to: arrays that one thread makes and another uses have to
    be evaluated first.

        engine = sige_mlx.Engine(model)
        engine.record(x=original)
        mask = sige_mlx.masks.difference_mask(original, edited, eps=0.01)[0]
        prepared = engine.prepare(sige_mlx.masks.dilate(mask, engine.policy.dilation))
        output = engine.edit(prepared, x=edited)
    """

    def __init__(
        self,
        model: mlx.nn.Module,
        device: str = "cpu",
        policy: EditPolicy | None = None,
        *,
        batch: int = 1,
        tile: int = 4,
        threads: int = 0,
        load: Loader | None = None,
        precision: str | None = None,
        size: tuple[int, int] | None = None,
    ):
        if device not in DEVICES:
            raise SigeError(f"device {device!r} is none: choose {', '.join(DEVICES[:-1])} or {DEVICES[-1]}")
        precision = precision or ("float16" if device == "gpu" else "float32")
        offered = [*PRECISIONS] if device == "gpu" else ["float32"]
        if precision not in offered:
            raise SigeError(
                f"precision {precision!r} is not what device {device!r} computes in: choose {' or '.join(offered)}"
            )
        for option, value, least in (("batch", batch, 1), ("tile", tile, 1), ("threads", threads, 0)):
            whole(value, option, least)
        self.device = device
        self.config: Any = getattr(model, "config", None)
        self.lowered = Lowered.of(model, policy or EditPolicy(), batch, tile, size)
        self.executor = executor_of(self.lowered, model, device, load, threads, precision)
        self._parameters = parameters(model), load
        self._precision = precision
        self.recordings = Recordings(self.executor)
        of = partial(Engine, model, device, batch=batch, tile=tile, threads=threads, load=load, precision=precision)
        self._made = partial(of, policy=self.policy, size=size)

    def resized(self, size: tuple[int, int]) -> "Engine":
        """The same network on the same device for images of another size (H, W); it packs the weights again. Raises
        `SigeError` for a size that the network's operations do not fit."""
        return self._made(size=size)

    def under(self, policy: EditPolicy) -> "Engine":
        """The same network on the same device, whose edits are computed by another policy; it packs the weights
        again."""
        return self._made(policy=policy)

    @property
    def policy(self) -> EditPolicy:
        """What edits recompute."""
        return self.lowered.policy

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images that the network reads."""
        return self.lowered.image_size

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the dense pass."""
        return self.lowered.dense_macs

    def __call__(self, **inputs: Any) -> mx.array:
        """The dense output on inputs by name, float32 arrays NHWC; nothing is kept. Raises `SigeError` for inputs of
        another name or shape.

            output = engine(x=original)
        """
        return self.executor.run(with_embeddings(self.lowered, self._checked(inputs)))

    def record(self, step: Hashable = 0, **inputs: Any) -> mx.array:
        """The dense output on the original; what edits need is kept under `step`, in place of what was there, as
        `recordings` has it. Raises `SigeError` when it does not fit on the disk that it is for."""
        return self._record(step, None, inputs)

    def record_for(self, prepared: PreparedEdit, step: Hashable = 0, **inputs: Any) -> mx.array:
        """Records for one edit, which is known beforehand: of this recording that edit can be run and no other, and
        nothing be committed. On the CPU it takes no more memory than what that edit reads."""
        return self._record(step, self._own(prepared).tiling, inputs)

    def _record(self, step: Hashable, only: Tiling | None, inputs: Mapping[str, Any]) -> mx.array:
        given = self._checked(inputs)
        with BLOCKS.reused():
            self.recordings.forget(step)  # before, not after: two recordings of a step need not fit
            output, record = self._recorded_on(with_embeddings(self.lowered, given), only)
        conditions = {name: np.array(x) for name, x in given.items() if x.ndim != 4}
        self.recordings.keep(step, RecordedStep(record, conditions, only))
        return mx.array(output)  # another handle: `result += 1` changes the array that `result` names

    def prepare(self, mask: npt.NDArray[np.bool_]) -> PreparedEdit:
        """Makes the edit of `mask`, bool (H, W) or (B, H, W), already dilated, ready to run. Raises `SigeError` for a
        mask that is not the image's size."""
        return self._bound(self.plan(mask))

    def _bound(self, planned: PreparedEdit) -> PreparedEdit:
        if planned.dense or planned.tiling.empty:
            return planned
        return replace(planned, bound=self.executor.bind(planned.tiling, planned.statistics))

    def plan(self, mask: npt.NDArray[np.bool_]) -> PreparedEdit:
        """The edit of `mask` as `prepare` will make it ready, but not ready yet: what it will cost, and how it is
        computed."""
        return self._planned(self.lowered.tiling(np.asarray(mask, np.bool_)))

    def grown(self, prepared: PreparedEdit, step: Hashable = 0, **inputs: Any) -> PreparedEdit:
        """The edit with those tiles, too, that read what it changes of a recorded step by more than the policy's
        `grow`; the same where that is None. It serves every step. Raises `SigeError` as `commit` does, and where
        recordings are in int8."""
        tolerance = self.policy.grow
        if tolerance is None:
            return prepared
        recorded = self._recorded(prepared, step)
        while prepared.bound is not None:
            with recorded.lock:
                _, change = self.commit(prepared, step, **inputs)
                back = self.swap(step, change)
            parts = change.replaced, back.replaced
            tiling = growth.grown(self.lowered, prepared.tiling, *parts, self.recordings.codec, tolerance)
            if tiling is prepared.tiling:
                break
            prepared = self._bound(self._planned(tiling))
        return prepared

    def _planned(self, tiling: Tiling) -> PreparedEdit:
        statistics, macs = self.policy.statistics_of(tiling.edited), self.lowered.macs(tiling)
        if statistics == "estimated" and not tiling.empty:
            macs += self._half.macs
        dense = not tiling.empty and self.macs > 0 and macs >= self.policy.dense_from * self.macs
        return PreparedEdit(self.lowered, tiling, self.macs if dense else macs, dense, None, statistics, self.executor)

    def edit(self, prepared: PreparedEdit, step: Hashable = 0, **inputs: Any) -> mx.array:
        """The output on edited images, from what was recorded under `step`, which stays as it is. On a GPU the array is
        lazy, as MLX's are: it is computed when it is asked for. Raises `SigeError` when an input that is no image, such
        as the timestep, is not the recorded one."""
        recorded = self._recorded(prepared, step)
        values = self._fitting(recorded, step, inputs)
        with recorded.lock:
            if prepared.tiling.empty:
                return self.executor.output(recorded.record)
            if not prepared.dense:
                self._expect(step, prepared.bound)
                given = self._given(prepared, recorded.record, values)
                return self.executor.edit(prepared.bound, recorded.record, values, given)
            return prepared.within(self.executor.run(values), recorded.record)

    def commit(self, prepared: PreparedEdit, step: Hashable = 0, **inputs: Any) -> tuple[mx.array, Change]:
        """The output on edited images, as `edit` gives it, and the change that undoes what this does to the record: it
        becomes that of the edited images. What an edit can read is then theirs wherever tiles were computed, as it was
        recorded elsewhere; statistics are those of the whole. Where an edit is the dense pass the step is recorded
        anew. It takes an edit's time, and the change holds what it replaced (`Change.nbytes`). Raises `SigeError` as
        `edit` does.

            output, change = engine.commit(prepared, x=edited)
            again = engine.swap(0, change)
        """
        recorded = self._recorded(prepared, step)
        if recorded.only:
            raise SigeError(f"step {step!r} was recorded for one edit only: record it for all to commit")
        values = self._fitting(recorded, step, inputs)
        replaced: Replaced | Record
        with recorded.lock:
            if prepared.tiling.empty:
                output, replaced = self.executor.output(recorded.record), Replaced({}, {})
            elif prepared.dense:
                output, record = self._recorded_on(values)
                output = prepared.within(output, recorded.record)
                self.executor.give_output(record, output)
                replaced = self.recordings.exchange(recorded, record)
            else:
                self._expect(step, prepared.committing)
                given = self._given(prepared, recorded.record, values, commit=True)
                output, replaced = self.executor.commit(prepared.committing, recorded.record, values, given)
            return output, recorded.changed(replaced)

    def swap(self, step: Hashable, change: Change) -> Change:
        """Undoes a commit, or does it again: puts back what a change holds, at the price of copying that. Returns the
        change that does the opposite. The one given is then spent. Raises `SigeError` for a change that does not
        fit: those made after it must be swapped first, and the step not recorded anew since."""
        recorded = self.recordings.of(step)
        replaced: Replaced | Record
        with recorded.lock:
            if change.after is not recorded.state:
                raise SigeError(
                    f"this change does not fit step {step!r}: swap the changes made after it first, the last one first"
                )
            if isinstance(change.replaced, Replaced):
                replaced = self.executor.swap(recorded.record, change.replaced)
            else:
                replaced = self.recordings.exchange(recorded, change.replaced)
            return recorded.changed(replaced, change.before)

    def _checked(self, inputs: Mapping[str, Any]) -> dict[str, Input]:
        return checked(self.lowered, inputs, self.device == "cpu")

    def _expect(self, step: Hashable, bound: Any) -> None:
        """Lets the disk work for the step that will be wanted next, while this one is computed."""
        for recorded in self.recordings.after(step):
            self.executor.expect(bound, recorded.record)
            return

    @cached_property
    def _half(self) -> "Engine":
        """This network for images of half the size."""
        return self.resized(half(self.lowered))

    def _measured(self, values: Mapping[Any, Input]) -> Mapping[Any, Doubles]:
        """The moments of all norms over the images at half the size."""
        whole, size = self.image_size, self._half.image_size
        small = {name: shrunk(x, size) if x.shape[1:3] == whole else x for name, x in values.items()}
        return self._half.executor.measure(small)

    def _recorded_on(self, values: Mapping[Any, Input], only: Tiling | None = None) -> tuple[mx.array, Record]:
        """The dense output and the record, with what estimates begin from if edits make any."""
        output, record = self.executor.record(values, self.recordings.codec, only)
        if "estimated" in self.policy.all_statistics:
            given = self.executor.given(record, self._measured(values), False)
            self.executor.swap(record, Replaced(given, {}))
        return output, record

    def _given(
        self, prepared: PreparedEdit, record: Record, values: Mapping[Any, Input], commit: bool = False
    ) -> Mapping[Any, Any]:
        """What takes the place of recorded arrays: estimated statistics, if the edit takes them. Of a commit at least
        what later estimates begin from."""
        estimated = prepared.statistics == "estimated"
        if estimated or (commit and "estimated" in self.policy.all_statistics):
            return self.executor.given(record, self._measured(values), estimated)
        return {}

    def _fitting(self, recorded: RecordedStep, step: Hashable, inputs: Mapping[str, Any]) -> Mapping[Any, Input]:
        """What programs read of inputs that a step can be edited with."""
        given = self._checked(inputs)
        for name, x in recorded.conditions.items():
            value = np.asarray(given[name])
            if not np.array_equal(value, x):
                raise SigeError(
                    f"{name} is {value.tolist()}, step {step!r} was recorded with {x.tolist()}: they must agree"
                )
        return with_embeddings(self.lowered, given)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all that recordings depend on: network, weights, policy, and what the device keeps of a step.
        Engines of one fingerprint can edit each other's recordings."""
        params, load = self._parameters
        digest = hashlib.blake2b(digest_size=16)
        tiles = self.lowered.batch, self.lowered.tile
        what = (self.config, self.policy, *tiles, self.device, self._precision, self.executor.keeps)
        digest.update(repr(what).encode())
        for name in sorted(params):
            digest.update(name.encode())
            weight = load(name) if load else np.asarray(params[name].astype(mx.float32))
            digest.update(np.ascontiguousarray(weight).data)
        return digest.hexdigest()

    def stored(self, step: Hashable) -> tuple[Codec, list[npt.NDArray[Any]]] | None:
        """How planes of a recorded step are kept, and arrays that hold all of it, for a file; `restore` takes them
        back. None on a device whose recordings cannot be stored, and for a step that was recorded for one edit."""
        recorded = self.recordings.of(step)
        with recorded.lock:
            return self.executor.store(recorded.record) if self.executor.keeps and not recorded.only else None

    def restore(self, step: Hashable, codec: Codec, arrays: Sequence[npt.NDArray[Any]], **conditions: Any) -> None:
        """Keeps what `stored` gave as the recording of a step, whose inputs that are no images are `conditions`. An
        engine of the same `fingerprint` must have recorded it. Raises `SigeError` for other arrays than it keeps."""
        record = self.executor.restored(codec, arrays)
        given = {name: np.asarray(x, np.float32) for name, x in conditions.items()}
        self.recordings.keep(step, RecordedStep(record, given))

    def profile(
        self, prepared: PreparedEdit | None = None, step: Hashable = 0, **inputs: Any
    ) -> tuple[Program, npt.NDArray[np.float64]]:
        """Runs an edit, or the dense pass without one: the program that ran, and each op's seconds. Raises `SigeError`
        for an edit that runs no tiles, and on a device that runs no programs."""
        from sige_mlx.engine.native.executor import NativeExecutor

        if not isinstance(self.executor, NativeExecutor) or (prepared and prepared.bound is None):
            raise SigeError("only the dense pass and edits in tiles can be profiled, on device 'cpu'")
        given = with_embeddings(self.lowered, self._checked(inputs))
        if prepared is None:
            return self.executor.profile(given)
        record: Any = self._recorded(prepared, step).record
        return self.executor.profile(given, prepared.bound, record)

    def _recorded(self, prepared: PreparedEdit, step: Hashable) -> RecordedStep:
        tiling = self._own(prepared).tiling
        recorded = self.recordings.of(step)
        if recorded.only is not None and recorded.only is not tiling:
            raise SigeError(f"step {step!r} was recorded for one edit only, which is another: record it for all")
        return recorded

    def _own(self, prepared: PreparedEdit) -> PreparedEdit:
        if prepared.lowered is not self.lowered:
            raise SigeError("the edit was prepared by another engine: prepare it with this one")
        return prepared
