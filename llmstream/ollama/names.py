"""Names of models: which mean the same one, and which run on somebody else's machine."""

from __future__ import annotations


def same_model(left: str, right: str) -> bool:
    """True if two names mean one model: `:latest` is the tag of a name that has none."""
    return _tagged(left) == _tagged(right)


def _tagged(name: str) -> str:
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def is_cloud(name: str) -> bool:
    """True if a model's name says that it runs on somebody else's machine."""
    return name.endswith(("-cloud", ":cloud"))
