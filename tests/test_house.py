"""The package stays readable: short files, short functions, docstrings that begin with their subject; and the tests use
it as a user could.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import llmstream

PACKAGE = Path(llmstream.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TESTS = Path(__file__).parent

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

# A reader would have to know the answer to understand the question.
RIDDLE = re.compile(r"(What|Whether|Where|How|Why|When|Who|Which|See|That|It|Its|They|The same)\b")
SECTION = re.compile(r"^\s*(Args|Returns|Raises|Yields|Attributes):$", re.MULTILINE)


def documented(path: Path) -> Iterator[tuple[str, Documented]]:
    """Each module, class and function of a file, with where it is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Documented):
            place = "" if isinstance(node, ast.Module) else f":{node.lineno} {node.name}"
            yield f"{path.relative_to(PACKAGE)}{place}", node


def lines_of_body(node: Documented) -> int:
    """The lines of a function without its head and its docstring; 0 for what is no function."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return 0
    body = node.body[ast.get_docstring(node) is not None :]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_files_are_short() -> None:
    """None has more than 250 lines."""
    assert [] == [str(path) for path in FILES if len(path.read_text().splitlines()) > 250]


def test_functions_are_short() -> None:
    """None has a body of more than 30 lines."""
    assert [] == [place for path in FILES for place, node in documented(path) if lines_of_body(node) > 30]


def test_docstrings() -> None:
    """Each begins with its subject or its verb, and none has sections."""
    docstrings = [(place, ast.get_docstring(node) or "") for path in FILES for place, node in documented(path)]

    assert [] == [place for place, text in docstrings if RIDDLE.match(text) or SECTION.search(text)]


def patched(path: Path) -> Iterator[str]:
    """The places of a test where a name of the package is given another value."""
    nodes = [*ast.walk(ast.parse(path.read_text()))]
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    ours = {
        each.asname or each.name.partition(".")[0]
        for node in imports
        for each in node.names
        if (getattr(node, "module", None) or each.name).partition(".")[0] == "llmstream"
    }
    for node in nodes:
        changed: list[ast.expr] = []
        if isinstance(node, ast.Call) and "setattr" in ast.unparse(node.func):
            changed = node.args[:1]
        elif isinstance(node, ast.Assign):
            changed = [target for target in node.targets if isinstance(target, ast.Attribute)]
        for each in changed:
            text = ast.unparse(each)
            if text.partition(".")[0] in (*ours, "'llmstream"):
                yield f"{path.relative_to(TESTS)}:{each.lineno} {text}"


def test_nothing_of_the_package_is_patched() -> None:
    """What a test wants otherwise is an argument or a setting, so that a user can have it so, too."""
    assert [] == [place for path in sorted(TESTS.rglob("*.py")) for place in patched(path)]
