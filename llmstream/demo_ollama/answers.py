"""The models of the demo: scripted answers, small talk, passages of llmstream's documentation, or what the demo is."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path

from llmstream.demo_ollama.index import PassageIndex, last_question
from llmstream.demo_ollama.passages import Passage, default_docs, read_passages
from llmstream.demo_ollama.scripted_answers import AnswerPart, Answers, Pause, Thought, after
from llmstream.events import well_formed
from llmstream.ollama_server.backend import AnswerChunk, ChatRequest, Model, OllamaError, PullProgress, ToolCall
from llmstream.ollama_server.checks import full_name
from llmstream.ollama_server.stop_sequences import limited

DEMO = Model("demo:latest")
DEMO_THINKING = Model("demo-thinking:latest", capabilities=("completion", "thinking"))
PULLABLE = Model("demo-new:latest", size_bytes=1_000_000)

EXCUSE = (
    "I am llmstream's demo, not a language model, and I only know llmstream's documentation: nobody here can answer "
    "that. Ask me how to mount it in FastAPI, for example.\n\n"
    "For real answers, install Ollama from https://ollama.com/download, then:\n\n"
    "```bash\nollama serve\nollama pull llama3.2\n```\n"
)
_TO_ASK = (
    "I am llmstream's demo, not a language model, and I know llmstream's own documentation. You could ask me:\n\n"
    "- How do I mount llmstream in my FastAPI app?\n"
    "- What happens when the connection is cut?\n"
    "- How do I stream my own chain?\n"
)
# What is asked of every model, by what the words of the question are, in small letters.
_SMALL_TALK = (
    (r"(hi|hello|hey|hiya|greetings|good (morning|afternoon|evening|day))( there| you| demo| llmstream)?", "Hello! "),
    (r"(ok |okay |great |many )?(thanks|thank you|thx)( a lot| so much| very much| you)?", "You are welcome. "),
    (r"(good)?bye( bye)?|see you( later| soon)?", "Goodbye! "),
    (r"how are you( doing)?( today)?|how is it going|what is up|what s up", "I am well, thank you. "),
    (r"(who|what) are you|what can you do|what can i ask( you)?|help( me)?|test|testing", ""),
)
SKY = (
    "The sky is blue: air scatters the blue light of the sun more than the red.\n\n"
    "(This much the demo knows without a language model. All its other answers are from llmstream's documentation.)"
)
_SKY = re.compile(r"(what colou?r is|why is) the sky( blue)?")
_TOKEN = re.compile(r"[ \t]*(?:\w+|[^\w\s]+)|\n+|\s")


def tokens(text: str) -> list[str]:
    """Splits a text as a model would, into words with the space before them, punctuation, newlines; nothing is lost."""
    return _TOKEN.findall(text)


class DemoBackend:
    """Answers for the demo's models.

    tokens_per_s: pace of the answers; None for full speed. docs: the pages to answer from; None for llmstream's own.
    answers: what is scripted, looked up first; may be changed at any time. find_hidden: finds models that exist without
    being listed, by full name.
    """

    def __init__(
        self,
        *,
        tokens_per_s: float | None,
        docs: Sequence[Path] | None,
        answers: Answers,
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

    def chat(self, request: ChatRequest) -> AsyncGenerator[AnswerChunk, None]:
        """The answer, after a thought if the request wants one, at the demo's pace."""
        return limited(self._chunks(request), request.options)

    async def _chunks(self, request: ChatRequest) -> AsyncGenerator[AnswerChunk, None]:
        question = well_formed(request.question)
        parts = self._answers.find(request, question)
        if parts is None:
            parts = [self.answer(question)]
        if full_name(request.model) == DEMO_THINKING.name and not any(isinstance(part, Thought) for part in parts):
            parts = [Thought(_thought(question)), *parts]
        parts = after(parts, request.begun)
        due = asyncio.get_running_loop().time()
        for part in parts:
            if isinstance(part, Pause):
                due += part.seconds
            for chunk in _chunks_of(part, is_thinking=bool(request.think)):
                due += self._interval_s
                # At full speed this still lets the other tasks of the loop run, and the client's leaving be seen.
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
                yield chunk
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        yield AnswerChunk(done_reason="stop")

    def answer(self, question: str) -> str:
        """Small talk, the passage that answers, or what the demo says of itself."""
        if talk := _small_talk(question):
            return talk
        passage = self._find_passage(question)
        if passage is None:
            return EXCUSE
        return f'{passage.text}\n\n(From "{passage.heading}" in {passage.source}. This is the demo, no language model.)'

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


def _chunks_of(part: AnswerPart, *, is_thinking: bool) -> Iterable[AnswerChunk]:
    match part:
        case str():
            return (AnswerChunk(content=token) for token in tokens(part))
        case Thought() if is_thinking:
            return (AnswerChunk(thinking=token) for token in tokens(part.text))
        case ToolCall():
            return (AnswerChunk(tool_calls=(part,)),)
        case _:
            return ()


def _small_talk(question: str) -> str | None:
    words = " ".join(re.findall(r"\w+", last_question(question).lower()))
    if _SKY.fullmatch(words):
        return SKY
    return next((said + _TO_ASK for pattern, said in _SMALL_TALK if re.fullmatch(pattern, words)), None)


def _thought(question: str) -> str:
    asked = " ".join(question.split())[:80]
    return f'The user asks "{asked}". I look it up in the documentation. That should tell me what to say.'
