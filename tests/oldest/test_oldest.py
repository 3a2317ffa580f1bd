"""The oldest versions of what llmstream stands on are those that `make oldest` tests it with."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_each_bound_is_a_version_that_is_tested() -> None:
    """A lower one would be a promise that nobody has tried."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = [each for name, extra in project["optional-dependencies"].items() if name != "all" for each in extra]
    bounds = dict(re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", each).groups() for each in project["dependencies"] + extras)  # type: ignore[union-attr,misc]
    tested = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (Path(__file__).parent / "constraints.txt").read_text(), re.M))
    assert bounds == {name: tested[name][: len(bound)] for name, bound in bounds.items()}
    assert all(set(tested[name][len(bound) :]) <= {".", "0"} for name, bound in bounds.items())
