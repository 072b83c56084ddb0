"""Tests of the graph, its lowering, its cost and its pictures."""
