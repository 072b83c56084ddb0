"""How an app calls a package: a recording, lists of tiles, the smallest bucket that an edit fits, or the dense pass.

This is what the Swift example does, in a few lines of Python, over anything that runs functions of a package.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.converters.coreml.borders import EDITED, MASK, OUTPUT
from sige_mlx.nn.module import parameters
from sige_mlx.zoo import Pretrained

ABOUT = "sige-mlx"
"""Under this name the metadata say in JSON what the package holds and how it is called."""

Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


def digest(network: Pretrained) -> str:
    """Returns the SHA-256 of all parameters, in float32, by their names in order: a package tells it of its own."""
    made = hashlib.sha256()
    for name in sorted(parameters(network.model)):
        made.update(name.encode())
        made.update(np.ascontiguousarray(network.load(name), np.float32).tobytes())
    return made.hexdigest()


class Calls:
    """`run` runs a function of a name on arrays; `takes` are shapes of what each function takes, by name; `about` is
    what the package says of itself."""

    def __init__(
        self,
        run: Callable[[str, Arrays], Arrays],
        takes: Mapping[str, Mapping[str, tuple[int, ...]]],
        about: Mapping[str, Any],
    ):
        self.run, self.takes, self.about = run, takes, about
        self.buckets = sorted(int(name.removeprefix("edit_")) for name in takes if name.startswith("edit_"))

    def lists(self, mask: npt.NDArray[np.bool_]) -> Arrays:
        """Returns what `tiles` makes of a mask, bool (H, W) or (N, H, W), already dilated."""
        n, _, h, w = self.takes["tiles"][MASK]
        return self.run("tiles", {MASK: np.broadcast_to(mask, (n, h, w))[:, None].astype(np.float32)})

    def bucket(self, lists: Arrays) -> int | None:
        """Returns the smallest bucket that no plane's active tiles exceed, or None where there is none. What does not
        fit must not be given to an edit: it would read beyond its arrays."""
        needed = max((int(x[0]) for name, x in lists.items() if name.startswith("count_")), default=0)
        return next((bucket for bucket in self.buckets if bucket >= needed), None)

    def edit(self, bucket: int, inputs: Arrays, recorded: Arrays, lists: Arrays) -> Array:
        """Returns the output of an edit at a bucket that it fits."""
        given = {**recorded, **inputs}
        if self.about["functions"][f"edit_{bucket}"].get("statistics") == "estimated":
            given |= self.run("estimate", given)
        taken = self.takes[f"edit_{bucket}"]
        given |= {name: x[: taken[name][0]] for name, x in lists.items() if name in taken}
        return self.run(f"edit_{bucket}", given)[OUTPUT]

    def __call__(self, inputs: Arrays, recorded: Arrays, lists: Arrays) -> tuple[str, Array]:
        """Returns the output on edited inputs, and which function gave it. Where no bucket is large enough it is that
        of the dense pass where the edit is wanted, and the recorded one elsewhere."""
        bucket = self.bucket(lists)
        if bucket is not None:
            return f"edit_{bucket}", self.edit(bucket, inputs, recorded, lists)
        return "dense", np.where(lists[EDITED] > 0, self.run("dense", inputs)[OUTPUT], recorded[OUTPUT])
