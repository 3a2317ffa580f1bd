"""Scenario models for tests: `demo:<name>` answers with that fault, whatever is asked. docs/testing.md has all.

They exist with `DemoOllama(scenarios=True)`; `/api/tags` does not list them, `/api/show` knows them. They always
stream, also with `stream: false`. Unless said otherwise the text is `SENTENCE`, sent at full speed. A name with N
takes a number: `demo:busy-2`, `demo:slow-0.5`.
"""

from __future__ import annotations

import inspect
import re

from llmstream.demo_ollama.scenarios import endings, errors, texts
from llmstream.demo_ollama.scenarios.scenario import SENTENCE, Call, Scenario, ScenarioModel, play
from llmstream.demo_ollama.scenarios.texts import MEGABYTE, NEWLINES, SEPARATORS
from llmstream.ollama_server.backend import Model

__all__ = ["MEGABYTE", "NEWLINES", "SCENARIOS", "SENTENCE", "SEPARATORS", "Call", "find_scenario", "play"]


SCENARIOS: dict[str, Scenario] = {
    name.replace("_", "-"): function
    for module in (endings, errors, texts)
    for name, function in vars(module).items()
    if inspect.isgeneratorfunction(function)
}
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
