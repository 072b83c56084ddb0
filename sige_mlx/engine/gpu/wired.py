"""How much memory macOS keeps wired for the GPU: what the engines that live have there.

MLX wires nothing by itself, and macOS lets go of what the GPU has not used for a second: the edit after a pause then
waits until the weights are back. Wired memory is lost to everything else on a Mac, so it is what is needed, at most
three quarters of what Metal recommends, and given back with the last engine. macOS before 15 has no such thing.
"""

import contextlib
import threading
import weakref

import mlx.core as mx

MARGIN = 2**28
"""Bytes beside what is kept, and a quarter of that: what an edit computes with. MLX fills the limit in no order."""


class Wired:
    """The wired limit of this process. It is shared: what others set is no less afterwards, and comes back."""

    def __init__(self) -> None:
        self._kept: dict[int, int] = {}
        self._ours: int | None = None
        self._others = 0
        self._lock = threading.RLock()  # an owner may go while another's memory is wired, in the same thread

    def keep(self, owner: object, nbytes: int) -> None:
        """Wires so many bytes for an owner, instead of what it had, for as long as it lives. Never raises."""
        with self._lock:
            if id(owner) not in self._kept:
                weakref.finalize(owner, self._release, id(owner)).atexit = False
            self._kept[id(owner)] = nbytes
            self._apply()

    def _release(self, owner: int) -> None:
        with self._lock:
            self._kept.pop(owner, None)
            self._apply(anew=True)

    def _apply(self, anew: bool = False) -> None:
        """Sets the limit, if the present one does not serve, or `anew`."""
        with contextlib.suppress(Exception):  # whatever MLX or macOS raise: it costs time, no more
            if self._kept:
                kept = sum(self._kept.values())
                most = int(mx.device_info(mx.gpu)["max_recommended_working_set_size"]) * 3 // 4
                wanted = min(kept + kept // 4 + MARGIN, most)
                # Recordings grow little by little, and MLX goes through all of its memory for another limit.
                serves = self._ours is not None and min(kept + MARGIN // 2, most) <= self._ours <= 2 * wanted
                if anew or not serves:
                    self._set(wanted)
            elif self._ours is not None:
                ours, self._ours = self._ours, None
                found = mx.set_wired_limit(self._others)
                if found != ours:  # somebody set it since
                    mx.set_wired_limit(found)

    def _set(self, limit: int) -> None:
        mx.clear_cache()  # memory that nothing is in should not be wired
        found = mx.set_wired_limit(limit)
        if found != self._ours:
            self._others = found
        if self._others > limit:
            limit = self._others
            mx.set_wired_limit(limit)
        self._ours = limit


wired = Wired()
