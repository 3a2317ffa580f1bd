"""The notebooks run as they stand, under nbclient and papermill, and what is saved is safe to be shown anywhere."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from llmstream.demo_ollama import DemoOllama
from tests.support import ROOT
from tests.support.kernels import new_notebook

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOUNT = "How do I mount llmstream in my FastAPI app?"
EVIL = 'Begin <img src=x onerror="alert(1)">\n\n<script>alert(1)</script>\n\n[click](javascript:alert(1)) **The end.**'

# What the questions of a notebook are answered with; the others are answered by the demo as it can.
ANSWERS: Mapping[str, Mapping[str, str]] = {
    "01-first-stream": {
        MOUNT: "With `create_router`.",
        "What happens when the server goes down?": "It *drains*.",
        "How do I put llmstream behind nginx?": "With a *location*.",
        "What happens when everybody has left?": "The model is free.",
    },
    "02-your-own-chain": {f"Be brief. {MOUNT}": "With `create_router`."},
    "03-runs": {"What happens when everybody has left?": "one two three. " * 9, MOUNT: "word " * 20_000},
    "04-serve-it": {f"Be brief. {MOUNT}": "word word."},
}
# What must be found below the cells with these ids.
SHOWN: Mapping[str, Mapping[str, str]] = {
    "01-first-stream": {
        "setup": "'demo:latest'",
        "show": "With `create_router`.",
        "figures": "finished · 21 characters",
        "llm": "It *drains*.",
        "fill": "With a *location*.",
        "kept": "('finished', 18)",
        "astream": "The| model| is| free|.|",
        "panel": "A chat panel: run the cell to use it.",
    },
    "02-your-own-chain": {
        "prompt-model": "With `create_router`.",
        "prompt-model-parser": "WITH `CREATE_ROUTER`.",
        "find": "runs.md",
        "answer-from-files": "<summary>Sources (2)</summary>",
        "by-rule": "<summary>Tool: look_up",
        "by-model": "can't call tools",
    },
    "03-runs": {
        "first": "Token(text=' two')",
        "check": "True",
        "stop-all": "'cancelled'",
        "run-program": "The other program reads: 'word'",
    },
    "04-serve-it": {
        "httpx": "'type': 'finished'",
        "openai-client": "word word.",
        "ollama-client": "word word.",
        "llmstream-client": "word word.",
    },
}


@pytest.fixture
def ollama() -> Iterator[DemoOllama]:
    """The demo Ollama: quick, but slow enough to stop a long answer."""
    with DemoOllama(tokens_per_s=500) as server:
        yield server


def execute(notebook: Any, folder: Path, **environment: str) -> Any:
    """The notebook as nbclient leaves it, run in a folder of its own, which has nothing but IPython's files."""
    quiet = {"IPYTHONDIR": str(folder), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(folder)}})
    return client.execute(env={**os.environ, **quiet, **environment})


def outputs_of(notebook: Any) -> list[Any]:
    """All outputs, which must be nothing but text and Markdown: no error, no warning, nothing of a widget."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert "widgets" not in notebook.metadata
    for output in outputs:
        kinds = set(output.get("data", ()))
        assert output.output_type == "stream" or kinds in ({"text/plain"}, {"text/markdown", "text/plain"}), output
        assert output.get("name") != "stderr", output
    return outputs


def text_of(cell: Any) -> str:
    """All that is shown below a cell."""
    return "".join(
        text for output in cell.outputs for text in (output.get("text", ""), *output.get("data", {}).values())
    )


def test_all_notebooks_are_here() -> None:
    """Every notebook is executed below."""
    assert sorted(SHOWN) == [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("name", SHOWN)
def test_notebook_runs(ollama: DemoOllama, tmp_path: Path, name: str) -> None:
    """Every cell runs, shows what it should, and leaves text and Markdown only."""
    ollama.answers |= dict(ANSWERS.get(name, {}))
    notebook = execute(nbformat.read(FOLDER / f"{name}.ipynb", 4), tmp_path, OLLAMA_HOST=ollama.url)  # type: ignore[no-untyped-call]
    outputs_of(notebook)
    cells = {cell.id: text_of(cell) for cell in notebook.cells if cell.cell_type == "code"}
    assert {} == {cell: cells[cell] for cell, text in SHOWN[name].items() if text not in cells[cell]}
    assert ollama.wait_idle()


def test_notebook_without_an_ollama(tmp_path: Path) -> None:
    """An error says what to type for a demo, and after that it answers, and the notebook says so."""
    asked = """
from llmstream.notebook import Chat, show
chat = Chat()
try:
    await chat.send("Why?")
except Exception as error:
    code = str(error).split("`")[1]
print(f"`{code}`" in chat.markdown())
"""
    notebook = new_notebook(asked, "exec(code)\nensure_ollama()", "await show('Why?')")
    failed, told, model, answer, line = outputs_of(execute(notebook, tmp_path, OLLAMA_HOST="127.0.0.1:9"))
    assert "True\n" == failed.text
    assert "No Ollama at http://127.0.0.1:9: the demo answers, from llmstream's own pages.\n" == told.text
    assert "'demo:latest'" == model.data["text/plain"]
    assert answer.data["text/markdown"].startswith("I am llmstream's demo, not a language model")
    assert "tokens/s" in line.data["text/plain"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The first notebook as papermill saves it, with a parameter of its own, and with hostile answers."""
    import papermill  # type: ignore[import-untyped]

    folder = tmp_path_factory.mktemp("papermill")
    with DemoOllama(tokens_per_s=None) as ollama, pytest.MonkeyPatch.context() as patch:
        ollama.answers |= {MOUNT: EVIL, "How do I fly?": EVIL}
        quiet = {"IPYTHONDIR": str(folder), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        for name, value in {"OLLAMA_HOST": ollama.url, "LLMSTREAM_MODEL": "demo", **quiet}.items():
            patch.setenv(name, value)
        options = {"cwd": folder, "progress_bar": False}
        papermill.execute_notebook(NOTEBOOKS[0], folder / "saved.ipynb", {"topic": "fly"}, **options)
        return nbformat.read(folder / "saved.ipynb", 4)  # type: ignore[no-untyped-call]


def test_notebook_under_papermill(saved: Any) -> None:
    """What papermill has saved answers the question with the parameter, as text and as Markdown."""
    assert 2 == [output.get("data", {}).get("text/plain") for output in outputs_of(saved)].count(EVIL)


def test_saved_answer_is_inert_everywhere(saved: Any) -> None:
    """A notebook turned into a page, or into Markdown, shows the answers, and none of their HTML acts."""
    from nbconvert import HTMLExporter, MarkdownExporter

    page, _ = HTMLExporter(template_name="basic").from_notebook_node(saved)  # type: ignore[no-untyped-call]
    assert 2 == page.count("<strong>The end.</strong>")
    assert 2 == page.count("&lt;img src=x onerror=")
    assert [] == re.findall(r"<(?:img|script|iframe)|<a[^>]*javascript", page, re.IGNORECASE)
    markdown, _ = MarkdownExporter().from_notebook_node(saved)  # type: ignore[no-untyped-call]
    assert 2 == markdown.count("**The end.**")
    assert [] == re.findall(r"<(?:img|script)|\]\(javascript", markdown, re.IGNORECASE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stripped(path: Path) -> None:
    """A notebook in the repository has no outputs, no counts, no traces of a machine, and names for its cells."""
    text = path.read_text()
    notebook = json.loads(text)
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    assert {"kernelspec": kernel, "language_info": {"name": "python"}} == notebook["metadata"]
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [] == [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"] is not None]
    assert [] == [cell["id"] for cell in notebook["cells"] if set(cell["metadata"]) - {"tags"}]
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch("[a-z-]+", name) for name in ids)
    assert json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n" == text
    links = re.findall(r"\]\(([^)#:]+)\)", "".join(map(str, (cell["source"] for cell in notebook["cells"]))))
    assert [] == [link for link in links if not (FOLDER / link).exists()]
