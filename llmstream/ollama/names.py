"""Names of models: which mean the same one, and which run on somebody else's machine."""

from __future__ import annotations

from collections.abc import Iterable

from llmstream.errors.nearest import nearest


def same_model(left: str, right: str) -> bool:
    """True if two names mean one model: `:latest` is the tag of a name that has none."""
    return tagged(left) == tagged(right)


def tagged(name: str) -> str:
    """The name with its tag, which is `:latest` where it has none."""
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def nearest_model(name: str, there: Iterable[str]) -> str:
    """A sentence with the nearest of the models that are there, behind a space; empty where none is near.

    The model is written as code: like a command, it is for who can mend the server.
    """
    names = {(each if ":" in name else each.removesuffix(":latest")): each for each in there}
    found = nearest(name, names) or nearest(name, {each.partition(":")[0]: each for each in names})
    return found.replace("'", "`")


def is_cloud(name: str) -> bool:
    """True if a model's name says that it runs on somebody else's machine."""
    return any(each.endswith(("-cloud", ":cloud")) for each in (name, name.rpartition("@")[0]))  # `@` pins a host
