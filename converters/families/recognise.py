"""Which family a checkpoint belongs to, and what keeps it from belonging to one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sige_mlx.converters.checkpoint import CheckpointError
from sige_mlx.converters.families.family import Family, Layout, Shapes

_SHOWN = 3  # names of each kind in a report


@dataclass(frozen=True)
class Match:
    """A family's network as configured by the checkpoint's tensors, and how those tensors differ from the network's."""

    family: str
    config: Any
    layout: Layout
    remarks: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]

    @property
    def problems(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.misshaped)

    @property
    def agreement(self) -> float:
        """Tensors in which the checkpoint and the network agree, as a share of those either has."""
        either = len(self.layout.tensors) + len(self.unexpected)
        return 1 - self.problems / either


def recognise(shapes: Shapes, families: Sequence[Family], image_size: int | None = None) -> Match:
    """The family of `families` whose network has exactly the tensors `shapes`.

    Raises `CheckpointError` if none has, saying which came nearest and what is missing, unexpected or mis-shaped.
    """
    names = ", ".join(family.name for family in families)
    matches = [match for family in families if (match := _match(family, shapes, image_size))]
    if not matches:
        raise CheckpointError(f"its {len(shapes)} tensors ({_some(shapes)}) are not those of a known network ({names})")
    best = max(matches, key=lambda match: match.agreement)
    if best.problems:
        kinds = (("missing", best.missing), ("unexpected", best.unexpected), ("mis-shaped", best.misshaped))
        report = "; ".join(f"{len(found)} {kind}: {_some(found)}" for kind, found in kinds if found)
        raise CheckpointError(f"its tensors fit no known network ({names}); {best.family} comes nearest, with {report}")
    return best


def _match(family: Family, shapes: Shapes, image_size: int | None) -> Match | None:
    """The family's network under the layout that fits best, None if it has no such network."""
    inferred = family.infer(shapes, image_size)
    if inferred is None:
        return None
    matches = [_compare(family.name, *inferred, layout, shapes) for layout in family.layouts(inferred[0])]
    return min(matches, key=lambda match: match.problems)


def _compare(family: str, config: Any, remarks: tuple[str, ...], layout: Layout, shapes: Shapes) -> Match:
    wanted = layout.tensors
    return Match(
        family,
        config,
        layout,
        remarks,
        missing=tuple(name for name in wanted if name not in shapes),
        unexpected=tuple(name for name in shapes if name not in wanted),
        misshaped=tuple(
            f"{name} is {shapes[name]}, not {shape}"
            for name, shape in wanted.items()
            if name in shapes and shapes[name] != shape
        ),
    )


def _some(names: Iterable[str]) -> str:
    """The first few names of the file, made safe to print, and a sign that there are more."""
    shown = [name[:120] if name.isprintable() else repr(name[:120]) for name in islice(names, _SHOWN + 1)]
    return ", ".join(shown[:_SHOWN]) + (", …" if len(shown) > _SHOWN else "")
