"""What was made before a test's demo, as in a module that the test imports: it asks the demo, or says that it can't."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from langchain_ollama import ChatOllama

from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app, create_router

ROUTED, OWN = FastAPI(), FastAPI()
ROUTED.include_router(create_router())
OWN.include_router(create_router(ChatOllama(model="llama3.2")))
WHOLE = create_app()


@pytest.mark.parametrize("app", [ROUTED, WHOLE], ids=["router", "app"])
@pytest.mark.parametrize("answer", ["One.", "Two."])
def test_an_app_asks_the_demo_of_each_test(demo_ollama: DemoOllama, app: FastAPI, answer: str) -> None:
    """The address of Ollama is the environment's at the moment, not that of when the app was made, or last begun."""
    demo_ollama.answers["Hello"] = answer
    with TestClient(app, base_url="http://localhost") as client:
        assert {"answer": answer} == client.post("/nostream", json={"question": "Hello"}).json()


def test_a_model_of_its_own_does_not_ask_the_persons_ollama(demo_ollama: DemoOllama) -> None:
    """LangChain's model has its address for good, so the answer says what to do; none was asked."""
    told = TestClient(OWN, base_url="http://localhost").post("/nostream", json={"question": "Hello"}).json()
    assert "settings" == told["code"]
    assert "This ChatOllama was made before the test's demo_ollama" in told["message"]
    assert [] == demo_ollama.requests
