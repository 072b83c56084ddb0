"""Judging edits of many pictures: how good they are beside the dense pass, other methods and other models."""

from sige_mlx.evaluation.cases import Case, read_cases
from sige_mlx.evaluation.ranks import Ranks
from sige_mlx.evaluation.run import Evaluation, Judge, evaluate, fetched
from sige_mlx.evaluation.scenes import scenes_for
from sige_mlx.evaluation.subject import Settings, Subject
from sige_mlx.evaluation.synthetic import Synthetic

__all__ = [
    "Case",
    "Evaluation",
    "Judge",
    "Ranks",
    "Settings",
    "Subject",
    "Synthetic",
    "evaluate",
    "fetched",
    "read_cases",
    "scenes_for",
]
