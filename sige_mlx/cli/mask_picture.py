"""A small picture of an edit for the terminal: two pixels a character, the mask in white on its tiles."""

import numpy as np
import numpy.typing as npt
from rich.text import Text

COLUMNS = 64
COLOURS = ("#4a4f57", "#e85d2f", "#ffffff")  # untouched, in an active tile, edited
PLAIN = "·░█"


def mask_picture(mask: npt.NDArray[np.bool_], tiles: npt.NDArray[np.bool_], colour: bool) -> Text:
    """Lines for a mask and the pixels under its active tiles, bool (H, W): half blocks with `colour`, else plain
    characters."""
    cells = _reduced(np.maximum(2 * mask.astype(np.int8), tiles.astype(np.int8)))
    lines = []
    for upper, lower in zip(cells[0::2], cells[1::2], strict=True):
        line = Text()
        for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
            if colour:
                line.append("▀", f"{COLOURS[above]} on {COLOURS[below]}")
            else:
                line.append(PLAIN[max(above, below)])
        lines.append(line)
    return Text("\n").join(lines)


def _reduced(state: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """At most COLUMNS wide and of even height, each cell the strongest of its pixels."""
    h, w = state.shape
    step = -(-w // COLUMNS)
    rows, columns = -(-h // step), -(-w // step)
    padded = np.zeros(((rows + rows % 2) * step, columns * step), np.int8)
    padded[:h, :w] = state
    cells: npt.NDArray[np.int8] = padded.reshape(-1, step, columns, step).max((1, 3))
    return cells
