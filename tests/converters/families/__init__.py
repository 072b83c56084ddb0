"""Tests of the network families."""
