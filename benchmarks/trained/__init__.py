"""Edits of photographs under trained weights: what they cost in quality. `python -m benchmarks.trained`."""
