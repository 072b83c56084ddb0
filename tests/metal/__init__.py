"""Kernels of `metal/` on the model of Metal."""
