"""The suite; `tests.reference` is what its files share."""
