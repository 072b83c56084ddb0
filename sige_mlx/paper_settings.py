"""Settings by the names that the paper's code gives them, which `config.json` of format 1 has, too."""

from typing import Any

from sige_mlx.arguments import whole
from sige_mlx.families import build, named

_RENAMED = {
    "sparse_resolution_threshold": "tiles_from",
    "eps": "eps",
    "mask_dilate_radius": "dilation",
    "downsample_dilate_radius": "dilation_per_level",
}
_OF_BLOCKS = "num_sparse_layers"
_OF_HEAD = "fresh_head"
NAMES = (*_RENAMED, _OF_BLOCKS, _OF_HEAD)
"""Of what is in an `EditPolicy`."""


def parted(family: str, fields: Any) -> tuple[Any, dict[str, Any]]:
    """The configuration and the fields of `EditPolicy`, in what a file has together."""
    if not isinstance(fields, dict):  # which `build` refuses
        return fields, {}
    config = dict(fields)
    edit = {ours: config.pop(theirs) for theirs, ours in _RENAMED.items() if theirs in config}
    if _OF_HEAD in config:
        edit["statistics"] = "fresh head" if config.pop(_OF_HEAD) else "recorded"
    if _OF_BLOCKS in config and named(family).task == "labels":  # of others it is no setting
        count = config.pop(_OF_BLOCKS)
        edit["tiles_from"] = build(family, config).config.side_of_last(whole(count, _OF_BLOCKS, 0))
    return config, edit
