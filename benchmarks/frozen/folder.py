"""A folder of frozen cases: manifests/NAME.json and NAME.config.json, cases/NAME-EDIT.npz, weights.py."""

import dataclasses
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from sige_mlx import families, paper_settings, zoo
from sige_mlx.converters.checkpoint import CheckpointError
from sige_mlx.converters.families import LAYOUTS, Match, recognise, under
from sige_mlx.converters.families.family import Layout, Shapes
from sige_mlx.engine.weights import Loader
from sige_mlx.errors import SigeError
from sige_mlx.families import build, configured
from sige_mlx.graph.policy import EditPolicy


class UnknownNetwork(SigeError):
    """A manifest describes a network that the project does not have."""


class Folder:
    """Networks and cases by name. Raises `SigeError` for a folder that is not laid out as it should be; opening one
    executes its `weights.py`."""

    def __init__(self, path: Path):
        for part in ("manifests", "cases"):
            if not (path / part).is_dir():
                raise SigeError(f"{path} is no folder of frozen cases: it has no folder {part}/")
        if not (path / "weights.py").is_file():
            raise SigeError(f"{path} has no weights.py, which makes the weights of its networks: nothing can be run")
        self.path = path
        self._weights = _import(path / "weights.py")
        names = {p.stem for p in (path / "manifests").glob("*.json") if not p.stem.endswith(".config")}
        # The longest name that fits: "ddpm-small-wide-corner" may be a case of "ddpm-small-wide" or of "ddpm-small".
        self.cases: dict[str, str | None] = {
            p.stem: max((n for n in names if p.stem.startswith(f"{n}-")), key=len, default=None)
            for p in sorted((path / "cases").glob("*.npz"))
        }
        """The network of each case; None for a case without a manifest."""
        if not self.cases:
            raise SigeError(f"{path / 'cases'} has no case: NAME-EDIT.npz would be one")

    def network(self, name: str) -> zoo.Pretrained:
        """The network of a manifest, with weights. Raises `UnknownNetwork` for one of a family that the project does
        not have, `SigeError` for files that do not belong together."""
        manifest = self.path / "manifests" / f"{name}.json"
        shapes: Shapes = {key: tuple(shape) for key, shape in _object(manifest).items()}
        settings = self._settings(name)
        try:
            match = recognise(shapes, LAYOUTS, settings.get("image_size"))
        except CheckpointError as error:
            raise UnknownNetwork(f"{manifest.name}: {error}") from error
        config, policy = _configured(match, settings, manifest.with_name(f"{name}.config.json"))
        found = under(match, config, LAYOUTS)
        if found is None:
            raise SigeError(f"{manifest.name} has other tensors than the network of {name}.config.json")
        model = build(match.family, dataclasses.asdict(config))
        return zoo.Pretrained(name, match.family, model, policy, self._loader(manifest, found.layout))

    def _settings(self, name: str) -> dict[str, Any]:
        """Network and edit settings; a folder need not have any."""
        path = self.path / "manifests" / f"{name}.config.json"
        settings = _object(path) if path.is_file() else {}
        return {**settings, **settings.get("model", {})}

    def _loader(self, manifest: Path, layout: Layout) -> Loader:
        weights: Mapping[str, npt.NDArray[Any]] = self._weights.make(str(manifest))

        def load(name: str) -> npt.NDArray[np.generic]:
            return layout.sources[name].build(weights.__getitem__)

        return load


def _configured(match: Match, settings: Mapping[str, Any], path: Path) -> tuple[Any, EditPolicy]:
    """What the settings say of a configuration and of edits; what they leave out stays as the tensors told, and as the
    peer has it."""
    names = {*paper_settings.NAMES, *(field.name for field in dataclasses.fields(match.config))}
    told = {name: value for name, value in settings.items() if name in names and value is not None}
    try:
        fields, edit = paper_settings.parted(match.family, {**dataclasses.asdict(match.config), **told})
        config = configured(match.config, fields)
        return config, configured(families.FAMILIES[match.family].released(config), edit)
    except SigeError as error:
        raise SigeError(f"{path.name}: {error}") from error


def _object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise SigeError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise SigeError(f"{path} holds no JSON object")
    return content


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("frozen_weights", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "make"):
        raise SigeError(f"{path} has no function make(manifest_path), which would give the weights")
    return module
