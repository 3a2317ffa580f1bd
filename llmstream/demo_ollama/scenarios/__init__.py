"""Scenario models for tests: `demo:<name>` answers with that fault, whatever is asked.

They exist with `DemoOllama(scenarios=True)`; `/api/tags` does not list them, `/api/show` knows them. They always
stream, also with `stream: false`. Unless said otherwise the text is `SENTENCE`, sent at full speed. A name with N
takes a number: `demo:busy-2`, `demo:slow-0.5`.

Ends that are no ends
    no-done, cut, cut-line, cut-once, reset, half-json, no-newline, no-reason
Errors
    error-first, error-line, error-path, runner-killed, error-500, forbidden, busy, busy-N (requests), prompt-too-long
The last line and after it
    done-hang, done-extra, done-cut, done-content, length, prompt-cut, empty, load-once, load-always, unload-always
Silence
    silent, slow-N (seconds before the first token), stall-N (tokens, then nothing for ever)
Not Ollama's protocol
    html-200, html-502, blank-line, null-line, no-message
Texts
    separators, bad-utf8, lone-surrogate, split-surrogate, newlines, megabyte, single-bytes, one-chunk, tokens-N
Without end
    repeat (full speed), endless-N (tokens a second)
Thinking and tools
    thinking, thinking-only, tool-call, tool-calls-two, text-tool-call
"""

from __future__ import annotations

import inspect
import re
from types import ModuleType

from llmstream.demo_ollama.scenarios import endings, errors, texts
from llmstream.demo_ollama.scenarios.scenario import SENTENCE, Call, Scenario, ScenarioModel, play
from llmstream.demo_ollama.scenarios.texts import MEGABYTE, NEWLINES, SEPARATORS
from llmstream.ollama_server.backend import Model

__all__ = ["MEGABYTE", "NEWLINES", "SCENARIOS", "SENTENCE", "SEPARATORS", "Call", "find_scenario", "play"]


def _table(*modules: ModuleType) -> dict[str, Scenario]:
    functions = (item for module in modules for item in vars(module).items())
    return {
        name.replace("_", "-"): function
        for name, function in functions
        if inspect.isgeneratorfunction(function) and function.__module__ in {module.__name__ for module in modules}
    }


SCENARIOS = _table(endings, errors, texts)
# The scenarios that take a number, and the number for a name without one.
_NUMBERS = {"busy": float("inf"), "slow": 0.2, "stall": 5.0, "tokens": 100.0, "endless": 100.0}


def find_scenario(name: str) -> ScenarioModel | None:
    """The scenario that a model's name means, such as `demo:busy-2` in any case; None where it means none."""
    base, _, tag = name.lower().partition(":")
    match = re.fullmatch(r"(.+)-(\d+(?:\.\d+)?)", tag)
    if base != "demo":
        return None
    if tag in SCENARIOS:
        scenario, number = tag, _NUMBERS.get(tag, 0.0)
    elif match and match[1] in _NUMBERS:
        scenario, number = match[1], float(match[2])
    else:
        return None
    extras = [word for word, sign in (("tools", "tool"), ("thinking", "thinking")) if sign in scenario]
    return ScenarioModel(SCENARIOS[scenario], number, Model(f"demo:{tag}", capabilities=("completion", *extras)))
