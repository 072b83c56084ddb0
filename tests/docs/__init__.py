"""The documentation: what is in it is true of the repository."""
