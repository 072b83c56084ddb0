"""Which family a checkpoint belongs to, and what keeps it from belonging to one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Any

from sige_mlx.converters.checkpoint import CheckpointError
from sige_mlx.converters.families.family import Family, Layout, Shapes
from sige_mlx.converters.families.reparametrised import adapted, form_of, plain
from sige_mlx.families import FAMILIES

_SHOWN = 3  # names of each kind in a report
_MAX_PREFIX = 4  # parts of a name


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
    prefix: str = ""
    """What all the checkpoint's names begin with, besides the names of the layout."""
    known: str = ""
    """The published network it is compared with, where the tensors tell no configuration."""

    @property
    def problems(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.misshaped)

    @property
    def fits(self) -> bool:
        return not self.problems and not self.known

    @property
    def shared(self) -> int:
        """Names that are the network's."""
        return len(self.layout.tensors) - len(self.missing)

    @property
    def agreement(self) -> float:
        """Tensors in which the checkpoint and the network agree, as a share of those either has."""
        either = len(self.layout.tensors) + len(self.unexpected)
        return 1 - self.problems / either

    @property
    def likeness(self) -> tuple[bool, int, float]:
        """What the nearest match has most of. How much of the checkpoint is explained comes before how much of the
        network is there: a layout with fewer tensors would be nearer to anything that is cut short."""
        return self.fits, self.shared, self.agreement


def recognise(shapes: Shapes, families: Sequence[Family], image_size: int | None = None) -> Match:
    """The family of `families` whose network has exactly the tensors `shapes`, their names taken without a prefix
    that all have, if it needs be.

    Raises `CheckpointError` if none has, saying which came nearest and what is missing, unexpected or mis-shaped.
    """
    best = None
    for prefix in _prefixes(shapes):
        stripped = {name.removeprefix(prefix): shape for name, shape in shapes.items()}
        remarks = (f"the names of its tensors are taken without their prefix {prefix!r}",) if prefix else ()
        found = [
            replace(match, prefix=prefix, remarks=(*remarks, *match.remarks))
            for match in _matches(stripped, families, image_size)
        ]
        best = max((*((best,) if best else ()), *found), key=lambda match: match.likeness)
        if best.fits:
            return best
    names = ", ".join(family.name for family in families)
    if best is None or (not best.shared and len(families) > 1):
        raise CheckpointError(f"its {len(shapes)} tensors ({_some(shapes)}) are not those of a known network ({names})")
    kinds = (("missing", best.missing), ("unexpected", best.unexpected), ("mis-shaped", best.misshaped))
    report = "; ".join(f"{len(found)} {kind}: {_some(found)}" for kind, found in kinds if found)
    without = f", without their prefix {best.prefix!r} neither" if best.prefix else ""
    compared = f" (by the names of {best.known})" if best.known else ""
    raise CheckpointError(
        f"its tensors fit no known network ({names}){without}; {best.family}{compared} comes nearest, with {report}"
    )


def under(match: Match, config: Any, families: Sequence[Family]) -> Match | None:
    """A match that fits, of the network with another configuration: where it finds its parameters in the checkpoint may
    depend on that. None if such a network has other tensors."""
    family = next(family for family in families if family.name == match.family)
    tensors = match.layout.tensors
    layouts = (adapted(layout, form_of(tensors), tensors) for layout in family.layouts(config))
    layout = next((layout for layout in layouts if layout.tensors == tensors), None)
    return None if layout is None else replace(match, config=config, layout=layout)


def _prefixes(names: Iterable[str]) -> Iterator[str]:
    """None, and the first parts that all names have in common, one more each time."""
    yield ""
    prefix = ""
    for parts in islice(zip(*(name.split(".")[:-1] for name in names), strict=False), _MAX_PREFIX):
        if len(set(parts)) > 1:
            return
        prefix += f"{parts[0]}."
        yield prefix


def _matches(shapes: Shapes, families: Sequence[Family], image_size: int | None) -> Iterator[Match]:
    """Every family's networks under all layouts: the one that the tensors tell, else those that were published."""
    form = form_of(shapes)
    for family in families:
        inferred = family.infer(plain(shapes, form), image_size)
        if inferred is not None:
            for layout in family.layouts(inferred[0]):
                yield _compare(family.name, *inferred, adapted(layout, form, shapes), shapes)
            continue
        for known, config, layout in _published(family):
            match = replace(_compare(family.name, config, (), adapted(layout, form, shapes), shapes), known=known)
            # It may have other widths: shapes tell something only where the names are the same.
            yield replace(match, misshaped=()) if match.missing or match.unexpected else match


@cache
def _published(family: Family) -> tuple[tuple[str, Any, Layout], ...]:
    """Name, configuration and layout of the published networks of a family, unlike ones only."""
    configs: dict[Any, str] = {}
    for name, known in FAMILIES[family.name].published.items():
        configs.setdefault(known.of(family.name), name)
    return tuple((name, config, layout) for config, name in configs.items() for layout in family.layouts(config))


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
