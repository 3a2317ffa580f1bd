"""Forecasts of how long a model will read a prompt, learned from the counters of its last answers; pure, no I/O."""

from __future__ import annotations

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

from llmstream.concurrency import Newest
from llmstream.ollama.chunks import LastChunk

# So many answers of a model count, and so many models are known.
_WINDOW = 16
_MODELS = 64
# The messages of a prompt by which its beginning is known again.
_MESSAGES = 256
# A model that was in memory is there in less.
_COLD_LOAD_S = 0.5
# Ollama takes a model out of memory when nobody has asked it for so long.
_KEPT_S = 300.0
# Which share of the answers lies below what is expected: more than half of the times, since what a server had kept of a
# prompt without our knowing was read in no time.
_MIDDLE, _CAREFUL = 0.5, 0.6
# How many times as long as the longest one known a prompt may be for its pace to be guessed from theirs.
_FAR = 4


@dataclass(frozen=True)
class Forecast:
    """The expected wait for a first token: `load_s` and then `read_s` in seconds, and the prompt's size in tokens."""

    load_s: float
    read_s: float
    tokens: int


class _Message(NamedTuple):
    """A message of a prompt as it is remembered: a hash of all up to it, their size, and its role.

    The size is in bytes of UTF-8, which are nearer to tokens than characters are.
    """

    digest: int
    size: int
    role: str


@dataclass(frozen=True)
class Prompt:
    """A prompt as it is remembered."""

    messages: Sequence[_Message]

    @property
    def size(self) -> int:
        """The size of the whole prompt."""
        return self.messages[-1].size if self.messages else 0

    def fresh(self, before: Prompt | None) -> int:
        """The size of what does not stand in the prompt before, or in the answer to it: a server has kept the rest."""
        known = 0
        for mine, others in zip(self.messages, before.messages if before else (), strict=False):
            if mine != others:
                return self.size - known
            known = mine.size
        if before is not None and len(self.messages) > len(before.messages):
            following = self.messages[len(before.messages)]
            known = following.size if following.role == "assistant" else known
        return self.size - known


@dataclass(frozen=True)
class _Sample:
    """One answer: the size of its prompt and its tokens, the seconds for each of them that was new, and for loading."""

    size: int
    tokens: int
    s_per_token: float
    load_s: float


class _Known:
    """The knowledge of one model at one address."""

    def __init__(self) -> None:
        self.samples: deque[_Sample] = deque(maxlen=_WINDOW)
        self.cold_load_s = 0.0
        self.answered_at = 0.0
        self.prompt: Prompt | None = None

    def tokens_of(self, size: int) -> float:
        """The tokens of a prompt of this size: some for each byte, and those of the template."""
        points = [(0, 0), *((each.size, each.tokens) for each in self.samples)]
        return max(_on_line(points, size, _MIDDLE), 1.0)

    def s_per_token(self, tokens: float) -> float:
        """The seconds for each token of a prompt: each attends to all before it, so more for a longer one."""
        points = [(each.tokens, each.s_per_token) for each in self.samples]
        tokens = min(tokens, _FAR * max(each for each, _ in points))
        return max(_on_line(points, tokens, _CAREFUL), min(each for _, each in points))

    def load_s(self, *, cold: bool) -> float:
        """The seconds for loading the model, or for finding it loaded."""
        warm_s = statistics.median_low(min(each.load_s, _COLD_LOAD_S) for each in self.samples)
        return max(self.cold_load_s, warm_s) if cold else warm_s


def _on_line(points: Sequence[tuple[float, float]], x: float, share: float) -> float:
    """The value at x of a rising line through points, above that share of them.

    Its slope is a Theil-Sen estimate, the median of those between all pairs, here the far ones counting more: a few
    wild points do not move it.
    """
    slopes = [((b[1] - a[1]) / (b[0] - a[0]), abs(b[0] - a[0])) for a, b in combinations(points, 2) if a[0] != b[0]]
    slope = max(_quantile(slopes, _MIDDLE), 0.0) if slopes else 0.0
    return _quantile([(y - slope * at, 1) for at, y in points], share) + slope * x


def _quantile(weighted: Sequence[tuple[float, float]], share: float) -> float:
    """The value below which this share of the weight lies."""
    ordered = sorted(weighted)
    enough = share * sum(weight for _, weight in ordered)
    for value, weight in ordered:
        enough -= weight
        if enough <= 0:
            return value
    return ordered[-1][0]


class Forecasts:
    """The knowledge of models, each by its address and name; may be used from any thread. clock: in seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._models: Newest[tuple[str, str], _Known] = Newest(_MODELS)

    def learn(self, url: str, model: str, prompt: Prompt | None, last: LastChunk) -> None:
        """Takes in the counters of an answer that is complete.

        prompt: None for one whose size tells nothing: it has images, or was cut.
        """
        tokens, read_ns, load_ns = last.prompt_eval_count, last.prompt_eval_duration, last.load_duration
        with self._lock:
            known = self._models[url, model] = self._models.get((url, model)) or _Known()
            before, known.prompt, known.answered_at = known.prompt, prompt, self._clock()
            was_cold = load_ns and load_ns / 1e9 >= _COLD_LOAD_S
            if was_cold:
                known.cold_load_s = load_ns / 1e9
            if prompt is None:
                return
            fresh = prompt.size if was_cold else prompt.fresh(before)  # of a model that was loaded nothing was kept
            if tokens and tokens > 0 and read_ns and read_ns > 0 and fresh > 0:
                s_per_token = read_ns / 1e9 / (tokens * fresh / prompt.size)
                known.samples.append(_Sample(prompt.size, tokens, s_per_token, (load_ns or 0) / 1e9))

    def of(self, url: str, model: str, prompt: Prompt, *, loaded: bool = True) -> Forecast | None:
        """The forecast for a prompt that is sent now, None where nothing was learned; loaded: what the server says."""
        with self._lock:
            known = self._models.get((url, model))
            if known is None or not known.samples or not prompt.size:
                return None
            cold = not loaded or self._clock() - known.answered_at > _KEPT_S
            fresh = prompt.size if cold else prompt.fresh(known.prompt)
            tokens = known.tokens_of(prompt.size)
            read_s = tokens * fresh / prompt.size * known.s_per_token(tokens)
            return Forecast(known.load_s(cold=cold), read_s, round(tokens))


FORECASTS = Forecasts()


def progress_of(waited_s: float, left_s: float) -> float:
    """The share of a wait that is over, at most 0.95: one that seems over, and is not, would look like a fault."""
    return min(round(waited_s / (waited_s + left_s), 2), 0.95) if left_s > 0 else 0.95


def about(seconds: float) -> str:
    """The time as a person would guess it, such as `about 40 s`."""
    if seconds >= 90:
        return f"about {round(seconds / 60)} min"
    step = 1 if seconds < 20 else 5
    return f"about {max(1, round(seconds / step) * step)} s"


def prompt_of(body: Mapping[str, Any]) -> Prompt | None:
    """The prompt of a request in any API; None where it has images, whose tokens no text tells."""
    if body.get("images"):
        return None
    texts = [(name, _text(body[name])) for name in ("tools", "system", "prompt") if body.get(name)]
    for message in body.get("messages") or ():
        content = message.get("content")
        if message.get("images") or (isinstance(content, list) and not all(map(_is_text, content))):
            return None
        parts = (content, message.get("thinking"), message.get("tool_calls"))
        texts.append((str(message.get("role")), "".join(_text(part) for part in parts if part)))
    digest, size = 0, 0
    messages: list[_Message] = []
    for role, text in texts:
        digest = hash((digest, role, text))
        size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        messages.append(_Message(digest, size, role))
    return Prompt([*messages[:_MESSAGES], *messages[-1:]] if len(messages) > _MESSAGES else messages)


def _is_text(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
