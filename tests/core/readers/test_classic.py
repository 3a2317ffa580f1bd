"""The old chains of `langchain_classic` stream, and say what they return."""

from __future__ import annotations

from typing import Any

import langchain_classic  # noqa: F401 - it has deprecations shown; in a test that would undo the filter below
import pytest
from langchain_classic.chains import LLMChain, RetrievalQAWithSourcesChain, SequentialChain, TransformChain
from langchain_classic.chains.question_answering import load_qa_chain
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda

from tests.support.holding import said
from tests.support.scripted_model import asks, says, see, weather

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")


class Library(BaseRetriever):
    """Finds one document."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(query, metadata={"title": "Sky", "source": "sky.md"})]


async def test_llm_chain() -> None:
    """Word by word, though the chain gives one dict at its end."""
    from langchain_classic.chains import LLMChain

    seen = await see(LLMChain(llm=says("one two three"), prompt=PromptTemplate.from_template("{question}")))
    assert ("one two three", 3, 0) == (seen.text, seen.pieces, seen.withdrawn)


async def test_retrieval_qa() -> None:
    """The answer, and where it comes from."""
    from langchain_classic.chains import RetrievalQA

    chain = RetrievalQA.from_chain_type(says("It is blue."), retriever=Library(), return_source_documents=True)
    seen = await see(chain)
    assert ("It is blue.", ["Sky"]) == (seen.text, seen.sources)


async def test_a_question_that_is_rewritten_first() -> None:
    """The rewriting of a follow-up question is never shown."""
    from langchain_classic.chains import ConversationalRetrievalChain

    chain = ConversationalRetrievalChain.from_llm(says("What color is the sky?", "It is blue."), Library())
    talk = [("user", "hi"), ("assistant", "hello"), ("user", "and the sky?")]
    seen = await see(chain, talk)
    assert ("It is blue.", "It is blue.") == (seen.text, seen.shown)


async def test_agent_executor() -> None:
    """What an agent says between its steps is told, with its calls and their results."""
    from langchain_classic.agents import AgentExecutor, create_tool_calling_agent

    prompt = ChatPromptTemplate.from_messages([("human", "{input}"), ("placeholder", "{agent_scratchpad}")])
    model: Any = says(asks(text="Let me look.", city="Paris"), "It is fine.")
    agent = create_tool_calling_agent(model, [weather], prompt)
    seen = await see(AgentExecutor(agent=agent, tools=[weather]))
    assert ("Let me look.\n\nIt is fine.", "stop", {}) == (seen.text, seen.reason, seen.data)
    assert [("c1", "18 degrees in Paris")] == seen.results


def test_a_memory_of_its_own_is_warned_of() -> None:
    """Every caller would read what the others said; a process says it once."""
    *texts, line = sorted(said(_MEMORY))
    assert ["1 one", "2 two"] == texts
    assert "memory of its own" in line


_MEMORY = """
import asyncio, logging, sys, warnings
from langchain_classic.chains import ConversationChain
from langchain_classic.memory import ConversationBufferMemory
from llmstream import Runs
from tests.support.scripted_model import says

async def main():
    warnings.simplefilter("ignore")
    chain = ConversationChain(llm=says("one", "two"), memory=ConversationBufferMemory())
    for number in (1, 2):
        run = await Runs().start("hi", chain=chain)
        assert [event async for event in run.follow()]
        print(number, (await run.snapshot()).text)

logging.basicConfig(level="WARNING", stream=sys.stdout)
asyncio.run(main())
"""


async def test_an_agent_that_writes_what_to_do() -> None:
    """Thoughts that are parsed for the next step are not shown; what they come to is."""
    from langchain_classic.agents import AgentExecutor, create_react_agent

    prompt = PromptTemplate.from_template("{tools} {tool_names} {input} {agent_scratchpad}")
    model = says("Thought: look\nAction: weather\nAction Input: Rome", "Thought: enough\nFinal Answer: It is warm.")
    seen = await see(AgentExecutor(agent=create_react_agent(model, [weather], prompt), tools=[weather]))
    assert ("It is warm.", "It is warm.") == (seen.text, seen.shown)


async def test_an_old_chain_with_a_step_behind_it() -> None:
    """It is given what it asks for by name, and its dict is given to the step."""
    from langchain_classic.chains import LLMChain

    old = LLMChain(llm=says("one two"), prompt=PromptTemplate.from_template("{topic}"))
    assert "ONE TWO" == (await see(old | RunnableLambda(lambda given: given["text"].upper()))).text


async def test_sources_that_a_chain_cuts_off_its_models_text() -> None:
    """They are sources and no text, and are not shown as one before."""
    model = says("It is blue.\nSOURCES: sky.md")
    seen = await see(RetrievalQAWithSourcesChain.from_chain_type(model, retriever=Library()), {"question": "q"})
    assert ("It is blue.", "It is blue.", ["Sky"]) == (seen.text.strip(), seen.shown.strip(), seen.sources)


async def test_a_text_that_a_chain_is_given_is_no_answer() -> None:
    """Though it has the name of one; what a step makes of it on the way is data."""
    clean = TransformChain(
        input_variables=["text"], output_variables=["clean"], transform=lambda given: {"clean": given["text"].strip()}
    )
    write = LLMChain(llm=says("It is blue."), prompt=PromptTemplate.from_template("{clean}"), output_key="answer")
    chain = SequentialChain(chains=[clean, write], input_variables=["text"], output_variables=["clean", "answer"])
    seen = await see(chain, {"text": " q "})
    assert ("It is blue.", {"clean": "q"}) == (seen.text, seen.data)


async def test_what_a_chain_is_given_is_no_source() -> None:
    """Documents that the asker gives, and the chain hands on beside its answer."""
    chain = load_qa_chain(says("It is blue."), prompt=PromptTemplate.from_template("{context}"))
    seen = await see(chain, {"input_documents": [Document("mine")], "question": "q"})
    assert ("It is blue.", []) == (seen.text, seen.sources)
