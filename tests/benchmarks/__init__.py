"""Benchmarks are measured elsewhere; here they are shown to measure what they say."""
