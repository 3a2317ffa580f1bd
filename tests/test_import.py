"""What importing llmstream costs and gives, and who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import llmstream
from tests.support import ROOT

FRAMEWORKS = (
    "langchain_core", "langchain_ollama", "fastapi", "starlette", "aiohttp", "gradio", "pydantic", "httpx", "ollama",
    "uvicorn", "msgspec", "asyncio", "rich", "ipywidgets", "IPython", "prometheus_client",
)  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """Which of the frameworks a statement loads, in a process of its own."""
    code = f"import sys\n{statement}\nprint(*sorted({FRAMEWORKS!r} & sys.modules.keys()))".replace(
        repr(FRAMEWORKS), repr(set(FRAMEWORKS))
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


def test_import_loads_no_framework() -> None:
    """The package itself, and its version and its names, cost nothing."""
    assert set() == loaded_by("import llmstream; llmstream.__version__; dir(llmstream)")


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("llmstream.Settings", {"langchain_core", "aiohttp", "pydantic", "starlette", "httpx"}),
        ("llmstream.LlmstreamError", {"langchain_core", "aiohttp", "pydantic", "starlette", "httpx"}),
        ("llmstream.stream", {"starlette", "fastapi", "gradio", "uvicorn", "ipywidgets", "IPython"}),
        ("llmstream.Runs", {"starlette", "fastapi", "gradio", "uvicorn", "ipywidgets", "IPython"}),
        ("llmstream.demo", {"langchain_core", "fastapi", "gradio", "aiohttp"}),
    ],
)
def test_names_load_what_they_need(statement: str, absent: set[str]) -> None:
    """A name loads its own module and what that stands on, and no surface."""
    assert set() == loaded_by(f"import llmstream; {statement}") & absent


def test_all_is_complete() -> None:
    """Every public name is in `__all__`, in order, can be loaded from its home, and is listed by `dir`."""
    assert sorted(llmstream._HOME) == sorted(llmstream.__all__) == list(llmstream.__all__)
    for name in llmstream.__all__:
        home = f"llmstream.{llmstream._HOME[name]}"
        assert f"{getattr(llmstream, name).__module__}.".startswith(f"{home}.")
        assert name in dir(llmstream)


def test_star_import() -> None:
    """`from llmstream import *` gives the public names."""
    names: dict[str, object] = {}
    exec("from llmstream import *", names)

    assert set(llmstream.__all__) <= names.keys()


def test_unknown_name() -> None:
    """A name that isn't there is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="'llmstream' has no attribute 'steam'"):
        llmstream.steam  # noqa: B018


def test_imports_go_down_only() -> None:
    """The contracts in pyproject.toml are kept: layers, and one home for each framework."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)

    assert 0 == done.returncode, done.stdout


def test_types_are_shipped() -> None:
    """Type checkers read the annotations of an installed llmstream."""
    assert (Path(llmstream.__file__).parent / "py.typed").is_file()
