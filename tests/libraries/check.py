"""Libraries that people build on, against a server: `python -m tests.libraries.check environments [library …]`.

Each has a program in `programs`, run by the Python of its own environment, which says what the library made of plain
and streamed answers, of answers of a demanded form, of tools, of a refusal, and of an answer that broke off. The
frameworks of docs/recipes.md come behind them, see `recipes`.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.libraries import recipes
from tests.support.real_ollama import RealOllama, find_ollama
from tests.support.serving import serving

HERE = Path(__file__).parent
LIBRARIES = sorted({path.stem for path in HERE.glob("constraints/*.txt")} - set(recipes.NAMES))
PROGRAM_TIMEOUT_S = 180

# By the end of a scenario's name: some libraries have a way by OpenAI's protocol and one by Ollama's.
EXPECTED = {
    "plain": "The sky is blue because air scatters blue light more than red light.",
    "structured": "Paris",
    "schema": "Paris",
    "partial": "Paris",
    "tools": "18 degrees and sunny",
    "demanded": ("get_weather", "18 degrees and sunny"),
    "refused": "not",  # by OpenAI's protocol and Ollama's: "is not there", "not found"
    "broken": "Ollama broke off the answer: it reported an error.",
}


@contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """The addresses of a server on a real Ollama with a tiny model, and of one on the demo Ollama."""
    binary = find_ollama()
    if binary is None:
        sys.exit("no Ollama: put `ollama` on PATH, or build one: bash tests/support/ollama/build.sh .cache/ollama")
    with ExitStack() as stack:
        real = stack.enter_context(RealOllama(binary))
        demo = stack.enter_context(DemoOllama(tokens_per_s=None, scenarios=True))
        # What an agent's model says to the task as smolagents words it.
        final = {"name": "final_answer", "arguments": {"answer": EXPECTED["tools"]}}
        demo.answers["New task:\nThe answer?"] = json.dumps(final)
        up, down = (
            stack.enter_context(serving(create_app(settings)))
            for settings in (
                Settings(ollama_url=real.url, model="tiny-chat", temperature=0, demo="never"),
                Settings(ollama_url=demo.url, model="demo", demo="never"),
            )
        )
        yield up.url, down.url


def wrong(name: str, found: Any) -> str:
    """What is wrong with what a library found, or nothing."""
    kind = name.rpartition("_")[2]
    if kind == "streamed":
        # Ollama's protocol has what is ready at once in one line, and this model is fast.
        apart = len(found) > 1 or name.startswith("ollama")
        return "" if apart and "".join(found) == EXPECTED["plain"] else f"the pieces {found}"
    expected = EXPECTED[kind]
    text = str(found[0] if isinstance(found, list) else found)
    if kind in ("refused", "broken") and not text.startswith("failed: "):
        return text
    return "" if any(each in text for each in ([expected] if isinstance(expected, str) else expected)) else repr(text)


def check(library: str, python: Path, addresses: tuple[str, str]) -> list[str]:
    """What is wrong with a library's answers."""
    program = HERE / "programs" / f"with_{library.replace('-', '_')}.py"
    # From its own environment alone, and without telling anybody of it.
    quiet = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(python.parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "HAYSTACK_TELEMETRY_ENABLED": "False",
    }
    command = [str(python.absolute()), str(program), *addresses]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False, env=quiet)
    if done.returncode:
        return [f"the program ended with {done.returncode}: {done.stderr[-2000:]}"]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return [f"{name}: {what}" for name, each in found.items() if (what := wrong(name, each))]


def checked(environments: Path, libraries: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each library with what is wrong with its answers."""
    with servers() as addresses:
        for library in libraries:
            yield library, check(library, environments / library / "bin" / "python", addresses)


def main(environments: str, *names: str) -> int:
    """The exit status: 1 where something is wrong."""
    logging.disable(logging.CRITICAL)  # the faults of the demo
    failed = False
    for of, known in ((checked, LIBRARIES), (recipes.checked, recipes.NAMES)):
        if chosen := [name for name in names or known if name in known]:
            for name, faults in of(Path(environments), chosen):
                failed = failed or bool(faults)
                print(f"{name}: {'ok' if not faults else ''}", *faults, sep="\n  " if faults else "", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
