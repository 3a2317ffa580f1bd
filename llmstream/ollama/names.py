"""Names of models: which mean the same one, and which run on somebody else's machine."""

from __future__ import annotations

from collections.abc import Iterable

from llmstream.errors.nearest import nearest_of


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
    # Every other name ends in `:latest`, so that alone makes none near; and the size of a model is known less often.
    names = {each.removesuffix(":latest"): each for each in there}
    bases = {each.partition(":")[0]: each for each in names}
    found = names.get(nearest_of(name.removesuffix(":latest"), names)) or bases.get(
        nearest_of(name.partition(":")[0], bases)
    )
    return f" Did you mean `{found.removesuffix(':latest')}`?" if found else ""


def how_to_get(name: str) -> str:
    """A sentence with the command that pulls a model; a fault of the demo's can't be pulled."""
    if is_fault(name):
        return "Names with `demo:` are faults for tests, under the fixture `demo_ollama`: docs/testing.md lists them."
    return f"Get it with `ollama pull {name}`."


def is_fault(name: str) -> bool:
    """True if a model's name is one that the demo has for tests, or would be if it had such a fault."""
    return tagged(name.lower()) != "demo:latest" and name.lower().startswith("demo:")


def is_cloud(name: str) -> bool:
    """True if a model's name says that it runs on somebody else's machine."""
    return any(each.endswith(("-cloud", ":cloud")) for each in (name, name.rpartition("@")[0]))  # `@` pins a host
