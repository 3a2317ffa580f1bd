"""The oldest versions of what llmstream stands on are those that `make oldest` tests it with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.version import Version

PROJECT = Path(__file__).parents[2]


def versions(pattern: str, text: str) -> dict[str, Version]:
    """The versions in a text by the names of their packages; the pattern has a group for each of the two."""
    return {name.replace("_", "-"): Version(version) for name, version in re.findall(pattern, text, re.MULTILINE)}


def test_each_bound_is_a_version_that_is_tested() -> None:
    """A lower one would be a promise that nobody has tried."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    needed = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    bounds = versions(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)", "\n".join(needed))
    tested = versions(r"^([\w-]+)==([\d.]+)$", (PROJECT / "tests/oldest/constraints.txt").read_text())
    assert bounds == {name: tested[name] for name in bounds}
