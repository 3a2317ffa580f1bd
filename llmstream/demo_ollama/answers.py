"""The models of the demo: scripted answers, passages of llmstream's documentation, or a word about what the demo is."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path

from llmstream.demo_ollama.passages import Passage, PassageIndex, default_docs, read_passages
from llmstream.ollama_server.backend import ChatRequest, Model, OllamaError, Piece, PullProgress
from llmstream.ollama_server.checks import full_name
from llmstream.ollama_server.lines import whole_text

DEMO = Model("demo:latest")
DEMO_THINKING = Model("demo-thinking:latest", capabilities=("completion", "thinking"))
PULLABLE = Model("demo-new:latest", size_bytes=1_000_000)

EXCUSE = (
    "I am llmstream's demo, not a language model: no Ollama was found, so nobody here can answer that. "
    "I only know llmstream's own documentation; ask me how to mount it in FastAPI, for example.\n\n"
    "For real answers, install Ollama from https://ollama.com/download, then:\n\n"
    "```bash\nollama serve\nollama pull llama3.2\n```\n"
)
_TOKEN = re.compile(r"[ \t]*(?:\w+|[^\w\s]+)|\n+|\s")


def tokens(text: str) -> list[str]:
    """Splits a text as a model would, into words with the space before them, punctuation, newlines; nothing is lost."""
    return _TOKEN.findall(text)


class DemoBackend:
    """Answers for the demo's models.

    Args:
        tokens_per_s: Pace of the answers; None for full speed.
        docs: The pages to answer from; None for llmstream's own.
        answers: Exact question to answer, looked up first; may be changed at any time.
        find_hidden: Finds models that exist without being listed, by full name.
    """

    def __init__(
        self,
        *,
        tokens_per_s: float | None,
        docs: Sequence[Path] | None,
        answers: dict[str, str],
        find_hidden: Callable[[str], Model | None] = lambda name: None,
    ) -> None:
        self._interval_s = 1 / tokens_per_s if tokens_per_s else 0.0
        self._docs = docs
        self._index: PassageIndex | None = None
        self._answers = answers
        self._find_hidden = find_hidden
        self.listed = {model.name: model for model in (DEMO, DEMO_THINKING)}

    async def models(self) -> Iterable[Model]:
        """The listed models."""
        return list(self.listed.values())

    async def find(self, name: str) -> Model | None:
        """The listed or hidden model of that full name."""
        return self.listed.get(name) or self._find_hidden(name)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        """Streams the answer, after a thought if the request wants one, at the demo's pace."""
        question = whole_text(request.question)
        pieces = [Piece(thinking=token) for token in tokens(_thought(question))] if request.think else []
        pieces += [Piece(content=token) for token in tokens(self.answer(question))]
        due = asyncio.get_running_loop().time()
        for piece in pieces:
            due += self._interval_s
            # At full speed this still lets the other tasks of the loop run, and the client's leaving be seen.
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            yield piece

    def answer(self, question: str) -> str:
        """The scripted answer, the passage that answers, or what the demo says of itself."""
        for asked in (question, question.strip()):  # `ollama run` adds a newline to a question from a pipe
            if asked in self._answers:
                return self._answers[asked]
        passage = self._find_passage(question)
        if passage is None:
            return EXCUSE
        return f"{passage.text}\n\n(From llmstream's {passage.source}. This is the demo: no Ollama was found.)"

    async def pull(self, name: str) -> AsyncGenerator[PullProgress, None]:
        """Pulls `demo-new`, or any model that is there already, in four steps; nothing else exists."""
        yield PullProgress("pulling manifest")
        model = PULLABLE if name == PULLABLE.name else await self.find(name)
        if model is None:
            raise OllamaError("pull model manifest: file does not exist")
        digest, size = f"sha256:{model.digest}", max(model.size_bytes, 4)
        for quarter in range(1, 5):
            yield PullProgress(f"pulling {model.digest[:12]}", digest, size, size * quarter // 4)
            await asyncio.sleep(0)
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            yield PullProgress(status)
        self.listed[full_name(name)] = model

    def close(self) -> None:
        """Frees the index of the documentation."""
        if self._index is not None:
            self._index.close()
            self._index = None

    def _find_passage(self, question: str) -> Passage | None:
        if self._index is None:
            try:
                self._index = PassageIndex(read_passages(default_docs() if self._docs is None else self._docs))
            except sqlite3.OperationalError:
                return None  # a Python without FTS5: the demo still answers, with what it says of itself
        return self._index.find(question)


def _thought(question: str) -> str:
    asked = " ".join(question.split())[:80]
    return f'The user asks "{asked}". I look it up in the documentation. That should tell me what to say.'
