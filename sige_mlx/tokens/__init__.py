"""Incremental inference of transformers: a painted mask says which tokens are computed again, and the keys and values
of all others are those that were recorded, layer by layer and step by step."""

from sige_mlx.tokens.active import ActiveTokens, TokenPlane
from sige_mlx.tokens.engine import TokenEngine
from sige_mlx.tokens.record import KeyValueRecord
from sige_mlx.tokens.stored import RECORD_PRECISIONS

__all__ = ["RECORD_PRECISIONS", "ActiveTokens", "KeyValueRecord", "TokenEngine", "TokenPlane"]
