"""The suite; `tests.reference` and `tests.openblas` are what its files share."""
