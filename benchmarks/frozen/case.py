"""One frozen case: its arrays, checked."""

import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx.editing.label_maps import Ids, encode
from sige_mlx.errors import SigeError
from sige_mlx.masks.difference import Mask
from sige_mlx.models.spade import LabelToImageConfig

Array = npt.NDArray[Any]
Image = npt.NDArray[np.float32]

PASS = ("x_original", "x_edited", "dense_original", "dense_edited")
MAPS = ("labels", "instances", "labels_edited", "instances_edited")
TRAJECTORY = ("original", "edited", "noise", "dense")


@dataclass(frozen=True)
class Peer:
    """The peer's engine on a case; NaN and 0 where the case does not tell."""

    error: float
    error_in_mask: float
    macs: int


@dataclass(frozen=True)
class Pass:
    """One forward pass on the noised original and the noised edited image, (B, H, W, C), and PyTorch's results. A
    network that makes a picture at once has no timestep."""

    x_original: Image
    x_edited: Image
    timestep: float | None
    mask: Mask
    dense_original: Image
    dense_edited: Image
    peer: Peer

    @property
    def batch(self) -> int:
        return len(self.dense_edited)


@dataclass(frozen=True)
class LabelPass:
    """One forward pass on the original and on the edited label map, (H, W), and PyTorch's results."""

    maps: Mapping[str, Ids]
    mask: Mask
    dense_original: Image
    dense_edited: Image
    peer: Peer
    batch: int = 1

    def encoded(self, config: Any) -> Pass:
        """The pass with the maps as the network reads them; raises `SigeError` for a network that reads images."""
        if not isinstance(config, LabelToImageConfig):
            raise SigeError("the case is of label maps and the network reads images: they must agree")
        labels, instances, labels_edited, instances_edited = (self.maps[name] for name in MAPS)
        x, x_edited = encode(labels, instances, config), encode(labels_edited, instances_edited, config)
        return Pass(x, x_edited, None, self.mask, self.dense_original, self.dense_edited, self.peer)


@dataclass(frozen=True)
class Trajectory:
    """A whole edit, from clean images (B, H, W, C) to the last state."""

    original: Image
    edited: Image
    noise: Image
    timesteps: tuple[int, ...]
    mask: Mask
    dense: Image
    peer: Peer

    @property
    def batch(self) -> int:
        return len(self.edited)


Case = Pass | LabelPass | Trajectory


def read(path: Path) -> Case:
    """A case; `SigeError` names the array that is missing or not what it should be."""
    try:
        with zipfile.ZipFile(path):  # np.load would also take a bare .npy
            arrays: dict[str, Array] = dict(np.load(path))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SigeError(f"{path.name} cannot be read as an .npz file of arrays: {error}") from error
    try:
        if "labels" in arrays:
            return _label_pass(arrays)
        return _trajectory(arrays) if "timesteps" in arrays else _pass(arrays)
    except SigeError as error:
        raise SigeError(f"{path.name}: {error}") from error


def error(ours: Image, true: Image, mask: Mask | None = None) -> float:
    """RMS(ours - true) / std(true), both inside the mask only if there is one; NaN where that is empty."""
    if mask is not None:
        inside = np.broadcast_to(mask, true.shape[:3])
        ours, true = ours[inside], true[inside]
    if not true.size:
        return math.nan
    return float(np.sqrt(np.mean(np.square(ours - true, dtype=np.float64))) / np.std(true, dtype=np.float64))


def _pass(arrays: Mapping[str, Array]) -> Pass:
    x_original, x_edited, dense_original, dense_edited = _images(arrays, PASS)
    mask = _mask(arrays, x_edited)
    peer = _peer(arrays, "peer_edited", dense_edited, mask)
    return Pass(x_original, x_edited, _number(arrays, "timestep"), mask, dense_original, dense_edited, peer)


def _label_pass(arrays: Mapping[str, Array]) -> LabelPass:
    dense_original, dense_edited = _images(arrays, ("dense_original", "dense_edited"))
    mask = _mask(arrays, dense_edited)
    maps = {name: _array(arrays, name) for name in MAPS}
    for name, ids in maps.items():
        if ids.shape != dense_edited.shape[1:3] or ids.dtype.kind not in "iu":
            raise SigeError(f"{name} is {ids.shape} of {ids.dtype}: integers {dense_edited.shape[1:3]} are wanted")
    maps = {name: ids.astype(np.int32) for name, ids in maps.items()}
    return LabelPass(maps, mask, dense_original, dense_edited, _peer(arrays, "peer_edited", dense_edited, mask))


def _trajectory(arrays: Mapping[str, Array]) -> Trajectory:
    original, edited, noise, dense = _images(arrays, TRAJECTORY)
    mask = _mask(arrays, edited)
    timesteps = tuple(int(t) for t in _array(arrays, "timesteps").ravel())
    if not timesteps or any(a <= b for a, b in zip(timesteps, (*timesteps[1:], -1), strict=True)):
        raise SigeError(f"timesteps are {timesteps}: they must fall, to 0 or above")
    return Trajectory(original, edited, noise, timesteps, mask, dense, _peer(arrays, "peer", dense, mask))


def _peer(arrays: Mapping[str, Array], output: str, true: Image, mask: Mask) -> Peer:
    """The figures of the file, and those that its arrays give where it has none."""
    outputs = _image(arrays, output) if output in arrays else np.full_like(true, np.nan)
    return Peer(
        _number(arrays, "peer_error") if "peer_error" in arrays else error(outputs, true),
        _number(arrays, "peer_error_in_mask") if "peer_error_in_mask" in arrays else error(outputs, true, mask),
        int(_number(arrays, "peer_macs")) if "peer_macs" in arrays else 0,
    )


def _images(arrays: Mapping[str, Array], names: tuple[str, ...]) -> list[Image]:
    images = [_image(arrays, name) for name in names]
    for name, image in zip(names, images, strict=True):
        if image.shape[:3] != images[0].shape[:3]:
            raise SigeError(f"{name} is {image.shape} and {names[0]} {images[0].shape}: they must agree in size")
    return images


def _image(arrays: Mapping[str, Array], name: str) -> Image:
    image = _array(arrays, name)
    if image.ndim != 4 or image.dtype.kind != "f":
        raise SigeError(f"{name} is {image.shape} of {image.dtype}: floats (B, H, W, C) are wanted")
    return np.ascontiguousarray(image, np.float32)


def _mask(arrays: Mapping[str, Array], image: Image) -> Mask:
    """Bool (H, W) or (B, H, W)."""
    mask = _array(arrays, "mask")
    if mask.ndim == 4 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    if mask.shape not in (image.shape[1:3], image.shape[:3], (1, *image.shape[1:3])):
        raise SigeError(f"mask is {mask.shape}: {image.shape[1:3]} is wanted, as the images are")
    return (mask[0] if mask.ndim == 3 and len(mask) == 1 else mask).astype(np.bool_)


def _number(arrays: Mapping[str, Array], name: str) -> float:
    number = _array(arrays, name)
    if number.size != 1 or number.dtype.kind not in "iuf":
        raise SigeError(f"{name} is {number.shape} of {number.dtype}: one number is wanted")
    return float(number.item())


def _array(arrays: Mapping[str, Array], name: str) -> Array:
    if name not in arrays:
        raise SigeError(f"the array {name} is missing")
    return arrays[name]
