"""The page on the architecture tells of the packages that there are."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import llmstream

ROOT = Path(__file__).parents[2]


def packages() -> set[str]:
    """The modules and packages at the top of the tree."""
    folder = Path(llmstream.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "__main__"}
    return modules | {path.parent.name for path in folder.glob("*/__init__.py")}


def test_every_package_is_on_the_page() -> None:
    """The table has each of them, and nothing else."""
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    assert packages() == {name for row in table for name in re.findall(r"`(\w+)`", row)}


def test_every_package_has_a_place_in_the_layers() -> None:
    """The import rule names each of them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert packages() == {name for layer in layers for name in re.findall(r"\w+", layer)}


def test_few_names_at_the_top() -> None:
    """Who lists the package sees the way of the data, not all that there is."""
    assert len(packages()) <= 26
