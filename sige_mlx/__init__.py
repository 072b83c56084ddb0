"""Incremental inference for image editing on Apple silicon: only what an edit touched is recomputed."""
