"""Tests of the checkpoint reader and the converter."""
