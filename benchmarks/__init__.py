"""Benchmarks that need more than the package: frozen cases (`frozen`) and other engines (`against`)."""
