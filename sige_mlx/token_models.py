"""Models that edit by tokens, by name: to be known before anything of them, or MLX, is imported."""

KLEIN, TINY = "flux2-klein-4b", "flux2-tiny"
MODELS = (KLEIN, TINY)
"""The second is tiny, and its weights are random."""

SESSION = "TokenSession"
"""The kind that their sessions have in files."""
