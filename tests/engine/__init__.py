"""Tests of the executors: against each other, against PyTorch, and against the frozen cases."""
