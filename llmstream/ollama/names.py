"""Names of models: which mean the same one, and which run on somebody else's machine."""

from __future__ import annotations


def same_model(left: str, right: str) -> bool:
    """True if two names mean one model: `:latest` is the tag of a name that has none."""
    return tagged(left) == tagged(right)


def tagged(name: str) -> str:
    """The name with its tag, which is `:latest` where it has none."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def is_cloud(name: str) -> bool:
    """True if a model's name says that it runs on somebody else's machine."""
    return any(each.endswith(("-cloud", ":cloud")) for each in (name, name.rpartition("@")[0]))  # `@` pins a host
