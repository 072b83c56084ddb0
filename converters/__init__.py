"""Published checkpoints into sige-mlx models, with neither PyTorch nor trust in the file.

`convert` writes a model folder; `checkpoint.read` and `checkpoint.state_dict` are the reader beneath it.
"""

from sige_mlx.converters.convert import ConvertedModel, convert

__all__ = ["ConvertedModel", "convert"]
