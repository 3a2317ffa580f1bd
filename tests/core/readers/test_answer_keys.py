"""Dicts that a chain puts together step by step: the answer is what stands under an answer key."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.tools import tool

from tests.support.scripted_model import asks, says, see

PROMPT = ChatPromptTemplate.from_template("{question}")


def said(text: str) -> Any:
    """A part of a chain that says this."""
    return PROMPT | says(text) | StrOutputParser()


def message(text: str) -> Any:
    """One that gives its model's message."""
    return PROMPT | says(text)


@pytest.mark.parametrize("part", [said, message])
@pytest.mark.parametrize("key", ["standalone", "text"], ids=["another key", "an answer key, too"])
async def test_what_a_step_before_the_answer_says(part: Any, key: str) -> None:
    """A question that was rewritten is not shown for a part of the answer, whatever its key."""
    rewritten = RunnablePassthrough.assign(**{key: part("What color is the sky?")})
    seen = await see(rewritten.assign(answer=part("It is blue.")), {"question": "and its color?"})
    assert ("It is blue.", "It is blue.", [key]) == (seen.text, seen.shown, [*seen.data])


async def test_what_a_step_behind_the_answer_says() -> None:
    """A grade of it is an object beside it."""
    chain = RunnableParallel(answer=said("It is blue."), question=RunnablePassthrough()).assign(grade=said("good"))
    seen = await see(chain, {"question": "q"})
    assert ("It is blue.", "good") == (seen.text, seen.data["grade"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: RunnableParallel(answer=said("One."), other=said("Two.")),
        lambda: RunnablePassthrough.assign(joke=said("One.")).assign(poem=said("Two.")),
        lambda: (
            RunnablePassthrough.assign(kind=said("a word")) | RunnableParallel(joke=said("One."), poem=said("Two."))
        ),
    ],
    ids=["in one step", "without an answer key", "in the last step"],
)
async def test_texts_side_by_side(make: Any) -> None:
    """Each is a message of its own."""
    seen = await see(make(), {"question": "q"})
    assert ["One.", "Two."] == sorted(seen.text.split("\n\n"))


SUMMARY: Any = ChatPromptTemplate.from_template("{text}") | says(*["A summary."] * 9) | StrOutputParser()


@pytest.mark.parametrize(
    ("chain", "text", "data"),
    [
        (RunnablePassthrough.assign(summary=SUMMARY), "A summary.", []),
        (RunnableParallel(summary=SUMMARY, text=lambda given: given["text"]), "A summary.", []),
        (lambda given: {**given, "answer": "A summary."}, "A summary.", []),
        (RunnablePassthrough(), "", ["text", "messages"]),
    ],
    ids=["passed through", "picked", "by a function", "and nothing else"],
)
async def test_a_text_that_a_chain_is_given_and_hands_on(chain: Any, text: str, data: list[str]) -> None:
    """It is no answer, though its key is one of an answer, nor are messages."""
    given = {"text": "A long text.", "messages": [HumanMessage("q"), AIMessage("before")]}
    seen = await see(chain, given)
    assert (text, data) == (seen.text, [*seen.data])


async def test_a_text_that_a_chain_leaves_as_it_is() -> None:
    """It is the answer where the chain says it anew, under the same key."""
    fixed = RunnablePassthrough.assign(
        text=ChatPromptTemplate.from_template("{text}") | says("Fine.") | StrOutputParser()
    )
    assert "Fine." == (await see(fixed, {"text": "Fine."})).text


@tool
async def expert(question: str) -> str:
    """Asks another model."""
    return str(
        (await says(AIMessage("One two", response_metadata={"done_reason": "length"})).ainvoke(question)).content
    )


async def test_a_tools_result_of_a_model_that_was_cut() -> None:
    """A chain that ends in a tool has answered only if the tool's model has."""

    async def run(asked: Any) -> Any:
        return await expert.ainvoke(asked.tool_calls[0])

    seen = await see(PROMPT | says(asks("expert", question="q")) | RunnableLambda(run))
    assert ("One two", "length") == (seen.text, seen.reason)
