"""Predicting what passes and edits take on a GPU that is not there.

`__main__` is the command; `plan` asks the engine for the calls, `counting` runs samples of them on the model of Metal,
`traffic` and `bounds` say what they take within the `limits` of the chip, `predict` adds up, `report` prints.
"""

from benchmarks.prediction.predict import Predicted, PredictedCall, PredictedPass, predict, slowest

__all__ = ["Predicted", "PredictedCall", "PredictedPass", "predict", "slowest"]
