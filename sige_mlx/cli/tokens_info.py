"""`sige-mlx info` of a model that edits by tokens: work and bytes, before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sige_mlx.cli import options, terminal
from sige_mlx.errors import SigeError

_KNOWN = ("model", "original", "mask", "edit", "steps", "bits", "record", "json")

WORDS = 20
"""Of a new prompt."""


def info(
    named: set[str],
    model: str,
    original: Path | None,
    mask: Path | None,
    edit: float | None,
    steps: int | None,
    bits: int | None,
    record: str | None,
    json: bool,
) -> None:
    """Prints what an edit of a share of a picture takes, or of a mask; of the largest window where no picture is
    given."""
    from sige_mlx.masks import user_mask
    from sige_mlx.pictures import open_image
    from sige_mlx.tokens import ActiveTokens, klein
    from sige_mlx.tokens.settings import STEPS, STRENGTH

    if stray := sorted(named - {*_KNOWN}):
        raise SigeError(f"{options.spelled(stray[0])} is not for {model}: leave it away")
    if mask and edit is not None:
        raise SigeError("--mask and --edit both say what is edited: give one")
    if edit is not None and not 0 < edit <= 100:
        raise SigeError(f"--edit is {edit:g}: a share of the pixels in percent, above 0 and at most 100")
    given = original or mask
    size = (klein.LARGEST[model],) * 2
    if given:
        width, height = open_image(given).size
        size = height, width
    count = STEPS if steps is None else steps
    plan = klein.planned(model, size, [], count, STRENGTH, bits, record)
    plane, text = plan.planes[0], plan.text_tokens
    seen = plane.height * plane.patch, plane.width * plane.patch
    if mask:
        touched = np.zeros(seen, np.bool_)
        drawn = user_mask(mask, size)[: seen[0], : seen[1]]
        touched[: drawn.shape[0], : drawn.shape[1]] = drawn
    else:
        touched = np.zeros(seen, np.bool_)
        side = ((5.0 if edit is None else edit) / 100) ** 0.5
        high, wide = (max(round(side * n / plane.patch), 1) * plane.patch for n in seen)
        touched[:high, :wide] = True
    active = plane.touched(touched).reshape(-1)
    kept, new = (ActiveTokens(range(n), active, text, plane.count) for n in (1, min(WORDS, text)))
    work = {
        "dense": plan.sizes.macs(kept, recorded=False) * plan.steps,
        "edit": plan.sizes.macs(kept) * plan.steps,
        "edit_with_a_new_prompt": plan.sizes.macs(new) * plan.steps,
    }
    memory = {"recording": plan.recorded, "weights": plan.weights, "peak": plan.peak}
    if json:
        told: dict[str, Any] = {"model": model, "pixels": list(seen), "steps": plan.steps, "precision": plan.precision}
        told |= {"tokens": [int(active.sum()), plane.count], "text_tokens": text, "macs": work, "bytes": memory}
        terminal.print_json(told)
        return
    rows = [
        ("model", f"{model}, {plan}"),
        ("image tokens", f"{int(active.sum())} of {plane.count} for an edit of {touched.mean():.1%}; {text} of text"),
        (f"GMACs, {plan.steps} steps", f"{work['dense'] / 1e9:.4g} densely, which recording takes, too"),
        ("an edit", f"{work['edit'] / 1e9:.4g}, {work['dense'] / work['edit']:.1f}x less"),
        (f"with {WORDS} new words", f"{work['edit_with_a_new_prompt'] / 1e9:.4g}"),
        ("keys and values", f"{memory['recording'] / 1e9:.3f} GB"),
        ("weights", f"{memory['weights'] / 1e9:.3f} GB"),
        ("most memory", f"{memory['peak'] / 1e9:.2f} GB, planned"),
    ]
    terminal.pairs(rows)
