"""The reason for which a model ended its answer: the words of its provider, as one of ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmstream.events import FinishReason

# Of Ollama, OpenAI (chat and responses), Anthropic, Gemini, Bedrock, Mistral and Cohere, in lower case.
_WORDS: Mapping[FinishReason, str] = {
    "stop": "stop end_turn stop_sequence complete completed",
    "length": "length max_tokens max_output_tokens model_length model_context_window_exceeded",
    "tool_calls": "tool_calls tool_use function_call",
    "content_filter": "content_filter content_filtered refusal safety recitation blocklist prohibited_content spii "
    "guardrail_intervened error_toxic",
}
_REASONS = {word: reason for reason, words in _WORDS.items() for word in words.split()}


def finish_reason(word: str) -> FinishReason:
    """The reason that a provider's word stands for; `other` for one that is unknown."""
    return _REASONS.get(word.lower(), "other")


def is_cut(word: str) -> bool:
    """True if a provider's word says that the answer was cut."""
    return finish_reason(word) in ("length", "content_filter")


def word_in(info: Mapping[str, Any]) -> str:
    """The word for the end of an answer in what LangChain's models tell of it; empty where there is none."""
    incomplete = info.get("incomplete_details")
    if isinstance(incomplete, Mapping) and incomplete.get("reason"):
        return str(incomplete["reason"])
    names = ("done_reason", "finish_reason", "stop_reason", "stopReason")
    return next((str(info[name]) for name in names if info.get(name)), "")
