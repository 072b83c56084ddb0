"""Predicting what passes and edits take on a GPU that is not there.

`__main__` is the command; `plan` asks the engine for the calls, `counting` runs samples of them on the model of Metal.
Every prediction is a range: `traffic` and `bounds` say what calls take at least within the `limits` of the chip,
`expected` what they should take, latencies counted; `predict` adds up, `report` prints.
"""

from benchmarks.prediction.predict import Predicted, PredictedCall, PredictedPass, predict, slowest

__all__ = ["Predicted", "PredictedCall", "PredictedPass", "predict", "slowest"]
