"""All that one run finds, and its JSON."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from benchmarks.efficiency import paper
from benchmarks.efficiency.ablation import Row
from benchmarks.efficiency.cost import AtSize, ByArea
from benchmarks.efficiency.measure import Agreement, OnDevice, Setting


@dataclass(frozen=True)
class Results:
    """A model's. Parts that were not asked for, or that it cannot have, are empty; `without` says why."""

    model: str
    devices: tuple[OnDevice, ...]
    agreements: tuple[Agreement, ...] = ()
    ablation: tuple[Row, ...] = ()
    by_area: ByArea | None = None
    by_size: tuple[AtSize, ...] = ()
    without: tuple[str, ...] = ()


def as_json(setting: Setting, found: list[Results]) -> str:
    """Times in ms, memory in bytes, shares from 0 to 1 but for `percent`; tiles are [active, all] by plane "HxW"."""
    models = []
    for results in found:
        numbers: dict[str, Any] = dataclasses.asdict(results)
        for on in numbers["devices"]:
            for edit in on["figures"]["edits"]:
                edit["tiles"] = {f"{h}x{w}": list(counts) for (h, w), counts in edit["tiles"].items()}
        row = paper.row_of(results.model)
        numbers["paper"] = row and {"efficiency": row.efficiency and vars(row.efficiency), "gmacs": dict(row.work)}
        models.append(numbers)
    return json.dumps({"setting": dataclasses.asdict(setting), "models": models}, indent=1) + "\n"
