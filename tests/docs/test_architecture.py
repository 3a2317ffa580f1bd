"""The page on the architecture tells of the packages that there are."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import llmstream

ROOT = Path(__file__).parents[2]
PACKAGE = Path(llmstream.__file__).parent


def packages(folder: Path) -> set[str]:
    """The packages in a folder of the tree."""
    return {path.parent.name for path in folder.glob("*/__init__.py")}


def names_at_the_top() -> set[str]:
    """The modules and packages at the top of the tree."""
    return packages(PACKAGE) | {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}


def in_table(heading: str) -> set[str]:
    """The names in the first column of the table under a heading of the page."""
    section = (ROOT / "docs" / "architecture.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    table = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {name for row in table for name in re.findall(r"`(\w+)`", row)}


def test_every_package_is_on_the_page() -> None:
    """The tables have each of them, and nothing else."""
    assert names_at_the_top() == in_table("The packages, in the order of the data")
    assert packages(PACKAGE / "core") == in_table("The core")


def test_every_package_has_a_place_in_the_layers() -> None:
    """The import rule names each of them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert names_at_the_top() == {name for layer in layers for name in re.findall(r"\w+", layer)}


def test_few_names_at_the_top() -> None:
    """Who lists the package sees the way of the data, not all that there is."""
    assert len(names_at_the_top()) <= 26
