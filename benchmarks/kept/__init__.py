"""Edits in a row, each committed: whether their errors add up."""
