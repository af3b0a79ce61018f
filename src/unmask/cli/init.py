"""The command ``unmask init``."""


def init() -> None:
    """Write."""
