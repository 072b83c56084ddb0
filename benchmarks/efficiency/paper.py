"""The paper's figures that stand beside ours."""

from benchmarks.paper.figures import ROWS, Efficiency, Row

NEAR = 0.2
"""Edits whose sizes differ by no more than this part are put beside each other; the paper's size is told."""

MODELS = tuple(row.model for row in ROWS if row.efficiency)


def row_of(model: str) -> Row | None:
    """What the paper has of a model, by its name."""
    return next((row for row in ROWS if row.model == model), None)


def work(model: str, percent: float) -> tuple[float, float] | None:
    """(size in percent, GMACs) of the edit in the paper that is nearest to one of `percent`, if any is near."""
    row = row_of(model)
    near = [of for of in row.work if abs(of[0] - percent) <= NEAR * percent] if row else []
    return min(near, key=lambda of: abs(of[0] - percent), default=None)


def times(model: str, percent: float) -> Efficiency | None:
    """Its times, which it tells for edits of 1.2 % alone."""
    row = row_of(model)
    return row.efficiency if row and abs(percent - 1.2) <= NEAR * 1.2 else None
