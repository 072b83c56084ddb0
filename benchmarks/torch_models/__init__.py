"""PyTorch networks of our own with the published parameter names, for parity tests, benchmarks and recipes."""
