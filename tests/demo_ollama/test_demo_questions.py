"""The demo Ollama answers what llmstream itself asks, and what people ask of it first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from llmstream.demo_ollama.answers import EXCUSE, SKY, DemoBackend
from llmstream.demo_ollama.index import PassageIndex
from llmstream.demo_ollama.passages import Passage, default_docs, read_passages, split_markdown
from llmstream.demo_ollama.scripted_answers import Answers
from llmstream.demo_ollama.synonyms import ALIASES, NO_ANSWERS
from llmstream.gradio import EXAMPLES

ROOT = Path(__file__).parents[2]

# Questions that a page, a notebook, the README or the docs show, and the heading that answers.
SHOWN = {
    "What is llmstream?": "README.md: llmstream",
    "How do I mount llmstream in my FastAPI app?": "README.md: Mount llmstream in your FastAPI app",
    "How do I include a router in a FastAPI app?": "README.md: Mount llmstream in your FastAPI app",
    "How do I stream my own chain?": "README.md: Your own chain",
    "What is a run?": "runs.md: Runs: follow, resume, stop",
    "What is SSE?": "http.md: Server-sent events",
    "What are server-sent events?": "http.md: Server-sent events",
    "What is streaming?": "http.md: Server-sent events",
    "What happens when the connection is cut?": "http.md: Resume",
    "What happens when the server goes down?": "runs.md: When the server goes down",
    "What happens when everybody has left?": "runs.md: When everybody has left",
    "How do I put llmstream behind nginx?": "deploy.md: Behind nginx",
    "Can I continue an answer that I stopped?": "runs.md: Continue an answer that was cut",
    "How do I stop one?": "runs.md: Follow one run from two places, stop it from a third",
    "How do I stop a run?": "runs.md: Follow one run from two places, stop it from a third",
}
# Shown as well, and answered without a passage: the second is for a pirate, and the third is what comes after another.
WITHOUT_PASSAGE = {
    "What color is the sky?": SKY,
    "Where is the treasure?": EXCUSE,
    "Why is that?": EXCUSE,
}
# What a graph in the docs asks a person.
ASKED_BY_A_GRAPH = {"Shall I send the mail?"}
OTHERS = {
    "What does llmstream do?": "README.md: llmstream",
    "How do I get started?": "README.md: llmstream",
    "How do I install llmstream?": "README.md: Install",
    "Is it on PyPI?": "README.md: Install",
    "Which Python version do I need?": "README.md: Install",
    "What is create_router?": "README.md: Mount llmstream in your FastAPI app",
    "Can I use it with React?": "README.md: Stream to React",
    "How do I show an answer in my React page?": "README.md: Stream to React",
    "Does it work with LangGraph?": "README.md: Your own chain",
    "How do I stream in async code?": "README.md: In async code",
    "How can I use it in a Jupyter notebook?": "README.md: In a notebook",
    "Is there a command line tool?": "README.md: In a terminal",
    "How do I test my app without Ollama?": "testing.md: Tests of your app, without a model",
    "Which environment variables are there?": "README.md: Settings",
    "How do I change the temperature?": "README.md: Settings",
    "Can I use RAG and show sources?": "chains.md: Retrieval, with sources",
    "How do I send the chat history?": "chains.md: A conversation",
    "Can I send an image?": "chains.md: A conversation",
    "What is StrictChatOllama?": "chains.md: The strict model",
    "My prompt is too long for the model, what happens?": "chains.md: Nothing lost in silence",
    "How do I turn on thinking?": "chains.md: Nothing lost in silence",
    "Which model answers?": "chains.md: Which model",
    "How do I choose another model?": "chains.md: Which model",
    "Does it work with useChat from the Vercel AI SDK?": "clients.md: AI SDK: `useChat`",
    "Does it work with CopilotKit?": "clients.md: AG-UI and CopilotKit",
    "Is it compatible with the OpenAI client?": "clients.md: OpenAI",
    "How do I connect Open WebUI?": "clients.md: OpenAI",
    "Can I use the ollama Python package with it?": "clients.md: Ollama",
    "How do I use EventSource?": "clients.md: Any client of server-sent events",
    "How long is the token timeout?": "deploy.md: All settings",
    "How do I set a password?": "deploy.md: On a network",
    "I get a 421, why?": "deploy.md: On a network",
    "Ollama hangs and never answers, what now?": "deploy.md: A model that answers nobody",
    "Why does the seventh tab wait?": "deploy.md: Six connections",
    "How many workers should I run?": "deploy.md: Which server",
    "How do I make a Gradio chat?": "gradio.md: The Gradio chat",
    "How do I mount the Gradio chat in my app?": "gradio.md: In your own app",
    "Which endpoints are there?": "http.md: HTTP: endpoints, events, errors",
    "What can I send in a request?": "http.md: A run request",
    "Which event types are there?": "http.md: Typed events",
    "How do I resume a stream?": "http.md: Resume",
    "Which error codes are there?": "http.md: Errors",
    "How does %%llm work?": "notebook.md: The magics",
    "Does it work in Colab?": "notebook.md: What works where",
    "How fast is it?": "performance.md: Performance",
    "How many users can one server handle?": "performance.md: Many streams on one core",
    "How do I avoid asking twice when the network fails?": "runs.md: Ask once, whatever the network does",
    "How do I follow a run from another Python process?": "runs.md: From Python, in another process",
    "What happens when I close the tab?": "runs.md: When everybody has left",
}


@pytest.fixture(scope="module")
def passages() -> list[Passage]:
    """The passages of llmstream's own documentation."""
    return read_passages(default_docs())


@pytest.fixture(scope="module")
def index(passages: list[Passage]) -> Iterator[PassageIndex]:
    """The index of those passages."""
    with closing(PassageIndex(passages)) as opened:
        yield opened


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoBackend]:
    """The demo's answers, from llmstream's own documentation."""
    with closing(DemoBackend(tokens_per_s=None, docs=None, answers=Answers())) as backend:
        yield backend


def heading(index: PassageIndex, question: str) -> str | None:
    """The page and the heading that answer a question."""
    found = index.find(question)
    return f"{found.source}: {found.heading}" if found else None


def shown() -> set[str]:
    """The questions in quotation marks in README, docs, React page and notebooks, those of ``%%llm``, and Gradio's."""
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "apps/react/src/demo").rglob("*.tsx")]
    cells = [
        "".join(cell["source"])
        for notebook in (ROOT / "notebooks").glob("*.ipynb")
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    ]
    text = "\n".join([*(page.read_text(encoding="utf-8") for page in pages if ".test." not in page.name), *cells])
    return {*EXAMPLES, *re.findall(r'"([A-Z][^"\n{}]*\?)"', text), *re.findall(r"%llm[^\n]*\n([A-Z][^\n{}]*\?)", text)}


def test_every_question_that_is_shown_is_tried() -> None:
    """A new example in a page, a notebook or the docs is one that the demo answers, too."""
    assert set() == shown() - {*SHOWN, *WITHOUT_PASSAGE} - ASKED_BY_A_GRAPH
    assert len({*SHOWN, *WITHOUT_PASSAGE, *OTHERS}) >= 60


@pytest.mark.parametrize(("question", "expected"), [*SHOWN.items(), *OTHERS.items()])
def test_question_gets_the_section_that_answers_it(index: PassageIndex, question: str, expected: str) -> None:
    """A question finds the heading that a person would point to."""
    assert expected == heading(index, question)


@pytest.mark.parametrize(
    "prompt", ["Answer briefly: {}", "Be brief. {}", "Use this:\n\nThe sky is blue.\n\nQuestion: {}"]
)
def test_question_at_the_end_of_a_prompt_is_what_is_asked(index: PassageIndex, prompt: str) -> None:
    """The instructions of a chain do not keep its question from being found."""
    assert SHOWN["What is a run?"] == heading(index, prompt.format("What is a run?"))


@pytest.mark.parametrize(
    "question",
    [
        "Count to 20.",
        "Count to 100.",
        "What is 7 times 8?",
        "Tell me a story about a dragon.",
        "What is the capital of France?",
        "Write a haiku about streams.",
        "Who won the world cup in 1998?",
        "What is the weather in Paris?",
        "Translate good morning into German.",
        "Write a Python function that reverses a list.",
        "日本語で挨拶して",
    ],
)
def test_other_questions_get_no_passage(demo: DemoBackend, question: str) -> None:
    """What the documentation does not answer gets an honest word, not the nearest page."""
    assert EXCUSE == demo.answer(question)


@pytest.mark.parametrize(("question", "expected"), WITHOUT_PASSAGE.items())
def test_shown_question_without_a_passage(demo: DemoBackend, question: str, expected: str) -> None:
    """The sky has its answer; a question for somebody else gets an honest word."""
    assert expected == demo.answer(question)


@pytest.mark.parametrize(
    ("greeting", "reply"),
    [
        ("hi", "Hello!"),
        ("Hello!", "Hello!"),
        ("hey there", "Hello!"),
        ("Good morning.", "Hello!"),
        ("thanks", "You are welcome."),
        ("Thank you very much!", "You are welcome."),
        ("How are you?", "I am well, thank you."),
        ("bye", "Goodbye!"),
        ("Who are you?", "I am llmstream's demo"),
    ],
)
def test_greeting_gets_a_sentence_and_three_things_to_ask(
    demo: DemoBackend, index: PassageIndex, greeting: str, reply: str
) -> None:
    """Small talk is answered in kind, with questions that the demo can answer."""
    answer = demo.answer(greeting)
    questions = re.findall(r"^- (.+)$", answer, re.MULTILINE)

    assert answer.startswith(reply)
    assert 3 == len(questions)
    assert all(heading(index, question) == SHOWN[question] for question in questions)


def test_passages_read_well_by_themselves(passages: list[Passage]) -> None:
    """No passage begins with code or ends in a colon, and its links lead somewhere from everywhere."""
    assert [] == [p.heading for p in passages if p.text.startswith(("```", "|", "    ")) or p.text.endswith(":")]
    links = [
        link for p in passages for link in re.findall(r"\]\(([^)]*)\)", re.sub(r"```.*?```", "", p.text, flags=re.S))
    ]
    assert [] == [link for link in links if not link.startswith(("https://", "http://"))]


def test_links_and_images_of_a_page() -> None:
    """A link to a file beside the page is its text, one to the web stays, an image goes; code is left as it is."""
    page = (
        "# Page\n\nSee [the docs](docs/a.md), [web](https://example.com):\n\n![shot](a.png)\n\n```md\n[a](b.md)\n```\n"
    )

    assert [
        "See the docs, [web](https://example.com):\n\n```md\n[a](b.md)\n```",
    ] == [passage.text for passage in split_markdown(page, "page.md")]


def test_section_that_begins_with_code_and_ends_before_an_image() -> None:
    """The heading announces the code, and no colon is left that announces nothing."""
    begun, ended = split_markdown(
        "# Start\n\n```sh\nmake\n```\n\n# Look\n\nIt looks so:\n\n![shot](a.png)\n", "page.md"
    )

    assert ("Start:\n\n```sh\nmake\n```", "It looks so.") == (begun.text, ended.text)


def test_aliases_are_those_of_headings(passages: list[Passage]) -> None:
    """A heading that is renamed takes its other words along."""
    headings = {(passage.source, passage.heading) for passage in passages}
    aliased = {(page, name) for page, names in ALIASES.items() for name in names}

    assert set() == (aliased | NO_ANSWERS) - headings
    assert set() == aliased & NO_ANSWERS
