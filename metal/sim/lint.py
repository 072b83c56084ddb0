"""What clang accepts and Metal refuses."""


def lint(name: str, source: str) -> None:
    """Raises `SimError` for the first thing in a kernel's text that Metal would refuse."""
