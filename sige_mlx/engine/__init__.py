"""Executors of lowered networks, and the engine that records originals and recomputes edits."""

from sige_mlx.engine.engine import DEVICES, Engine, PreparedEdit

__all__ = ["DEVICES", "Engine", "PreparedEdit"]
