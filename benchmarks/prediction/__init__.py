"""Predicting what passes and edits take on a GPU that is not there."""

from sige_mlx.benchmark.prediction.predict import Predicted, PredictedCall, PredictedPass, predict, slowest

__all__ = ["Predicted", "PredictedCall", "PredictedPass", "predict", "slowest"]
