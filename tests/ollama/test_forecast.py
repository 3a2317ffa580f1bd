"""How long a model will read a prompt, foretold from its earlier answers."""

from __future__ import annotations

from typing import Any

import pytest

from llmstream.ollama.forecast import Forecasts, about, progress_of, prompt_of
from tests.support.forecasts import MODEL, URL, Clock, counted, learned, prompt, said


def test_size_decides() -> None:
    """A prompt ten times as long is expected to take ten times as long; of another model or host nothing is known."""
    clock = Clock()
    forecasts = learned(clock, 400, 2000, 800)
    for size in (400, 4000, 40_000):
        found = forecasts.of(URL, MODEL, prompt("x" * size))
        assert found is not None
        assert size // 4 == found.tokens
        assert pytest.approx(size / 400, rel=0.01) == found.read_s
    assert forecasts.of(URL, "other", prompt("x")) is None
    assert forecasts.of("http://other", MODEL, prompt("x")) is None


def test_one_answer_is_enough_to_guess() -> None:
    """After the first answer a prompt of another size is expected to be read at the same pace."""
    found = learned(Clock(), 40).of(URL, MODEL, prompt("x" * 4000))
    assert found is not None
    assert 1000 == found.tokens
    assert pytest.approx(10) == found.read_s


def test_long_prompts_are_read_more_slowly() -> None:
    """What each token costs more in a longer prompt is learned too."""
    forecasts = Forecasts()
    for letter, tokens in (("a", 100), ("b", 1500), ("c", 700)):
        forecasts.learn(URL, MODEL, prompt(letter * tokens * 4), counted(tokens, tokens * (1 + tokens / 500) / 100))
    found = forecasts.of(URL, MODEL, prompt("x" * 4000))
    assert found is not None
    assert pytest.approx(1000 * 3 / 100, rel=0.05) == found.read_s


def test_what_the_server_has_kept_takes_no_time() -> None:
    """The next question of a conversation has the messages before it read already; another one has not."""
    forecasts = learned(Clock(), 400, 2000)
    forecasts.learn(URL, MODEL, prompt("a" * 4000), counted(1000, 10))
    follows, other = prompt("a" * 4000, "b" * 400, "c" * 400), prompt("d" * 4000, "b" * 400, "c" * 400)
    expected = [forecasts.of(URL, MODEL, each) for each in (follows, other)]
    assert [1, 12] == [round(each.read_s) for each in expected if each]
    assert [1200, 1200] == [each.tokens for each in expected if each]


def test_a_cache_of_somebody_else_misleads_little() -> None:
    """Of some prompts the server had more than was known: their counts are whole, and their times are short."""
    forecasts = learned(Clock(), 400, 2000, 800, 1200, 3000)
    for number in range(4):
        forecasts.learn(URL, MODEL, prompt(f"kept {number}" * 300), counted(525, 0.01))
    found = forecasts.of(URL, MODEL, prompt("x" * 2000))
    assert found is not None
    assert pytest.approx(5, rel=0.3) == found.read_s


@pytest.mark.parametrize(("age_s", "loaded", "load_s"), [(1, True, 0.01), (301, True, 20), (1, False, 20)])
def test_loading_counts_where_it_is_to_come(age_s: float, loaded: bool, load_s: float) -> None:
    """A model that is not in memory, or that nobody has asked for longer than Ollama keeps it, is loaded first."""
    clock = Clock()
    forecasts = Forecasts(clock=clock)
    forecasts.learn(URL, MODEL, prompt("a" * 400), counted(100, 1, load_s=20))
    for text in "bcd":
        forecasts.learn(URL, MODEL, prompt(text * 400), counted(100, 1))
    clock.now += age_s
    found = forecasts.of(URL, MODEL, prompt("x" * 400), loaded=loaded)
    assert found is not None
    assert pytest.approx(load_s) == found.load_s
    assert pytest.approx(1) == found.read_s


def test_memory_is_bounded() -> None:
    """Of many models only the last ones are known."""
    forecasts = Forecasts()
    for number in range(1000):
        forecasts.learn(URL, f"m{number}", prompt("a" * 400), counted(100, 1))
    assert [False, True] == [forecasts.of(URL, f"m{number}", prompt("b")) is not None for number in (0, 999)]


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": "a", "images": ["aaaa"]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
        {"prompt": "a", "images": ["aaaa"]},
    ],
)
def test_images_are_not_foretold(body: dict[str, Any]) -> None:
    """No text tells how many tokens an image is."""
    assert prompt_of(body) is None


def test_an_answer_about_an_image_tells_what_the_server_keeps() -> None:
    """Behind it the model is loaded, and what it had read before is not kept: that is foretold again."""
    clock = Clock()
    forecasts = learned(clock, 400)
    told = [forecasts.of(URL, MODEL, prompt("0" * 400, "a", "b"))]
    clock.now += 200
    forecasts.learn(URL, MODEL, None, counted(900, 3))
    clock.now += 200
    told.append(forecasts.of(URL, MODEL, prompt("0" * 400, "a", "b")))
    assert [(True, True), (False, True)] == [(each.read_s < 0.1, each.load_s < 0.1) for each in told if each]


def test_prompts_of_each_api() -> None:
    """The size is that of all that is read, in bytes of UTF-8: messages, a system prompt, half an emoji."""
    parts = [{"type": "text", "text": "ä€"}]
    bodies: list[dict[str, Any]] = [
        {"prompt": "abc", "system": "de"},
        {"messages": [{"role": "user", "content": "abcde"}]},
        said("a\ud800", "b"),
        {"messages": [{"role": "user", "content": parts}]},
    ]
    found = [prompt_of(body) for body in bodies]
    assert [5, 5, 5] == [each.size for each in found[:3] if each]
    assert found[3] is not None
    assert found[3].size > 5


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "about 1 s"), (12.4, "about 12 s"), (43, "about 45 s"), (89, "about 90 s"), (200, "about 3 min")],
)
def test_times_are_told_as_guesses(seconds: float, text: str) -> None:
    """No more digits than are known."""
    assert text == about(seconds)


def test_progress_is_never_all() -> None:
    """The bar of a wait that is not over is not full."""
    assert [0.5, 0.95, 0.95] == [progress_of(5, 5), progress_of(100, 0.1), progress_of(5, -1)]
