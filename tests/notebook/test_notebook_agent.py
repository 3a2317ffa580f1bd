"""An agent on a real Ollama that asks a person, in a notebook: in the chat panel, and by `show`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.kernels import Kernel, running_kernel
from tests.support.notebook_panel import Panel
from tests.support.real_agent import DECISIONS, QUESTION, RESULTS
from tests.support.real_ollama import RealOllama

ASKS = ("approve", "edit", "reject", "respond")


@pytest.fixture(scope="module", params=[True, False], ids=["ipykernel 6", "ipykernel 7"])
def kernel(
    request: pytest.FixtureRequest, real_ollama_server: RealOllama, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kernel]:
    """A kernel with an agent."""
    url = real_ollama_server.url
    with running_kernel(tmp_path_factory.mktemp("kernel"), ollama_url=url, old=request.param) as found:
        found.run(f"from tests.support.real_agent import weather_agent\nagent = weather_agent({url!r})")
        yield found


def asked(kernel: Kernel) -> Panel:
    """A panel in which the agent waits."""
    panel = Panel(kernel, "Chat(agent)")
    panel.ask(QUESTION)
    panel.wait_for("Waiting for an answer")
    panel.wait_ended()
    kernel.wait(lambda: kernel.has("Answer"))
    return panel


@pytest.mark.parametrize("decision", ["approve", "edit", "reject"])
def test_a_call_is_decided_on(kernel: Kernel, decision: str) -> None:
    """What the form's buttons say goes on with the thread, and the form gives place to what was said."""
    panel = asked(kernel)
    choice = kernel.find(_model_name="ToggleButtonsModel")
    assert ["Approve", "Edit", "Reject", "Respond"] == list(kernel.widgets[choice]["_options_labels"])
    kernel.set(choice, index=ASKS.index(decision))
    if decision == "edit":
        arguments = kernel.find(_model_name="TextareaModel")
        kernel.set(arguments, value="[1]")
        kernel.press("Answer")
        kernel.wait(lambda: any("must be a JSON object" in str(w.get("value")) for w in kernel.widgets.values()))
        kernel.set(arguments, value='{"city": "Oslo"}')
    elif decision == "reject":
        kernel.wait(lambda: any(state.get("placeholder") == "Why not" for state in kernel.widgets.values()))
        kernel.set(kernel.find(placeholder="Why not"), value="18 degrees and rainy")
    kernel.press("Answer")
    panel.wait_for(RESULTS[decision])
    panel.wait_for("tokens/s")
    panel.wait_ended()
    assert not kernel.has("Answer")
    said = kernel.value("chat.messages")
    assert ["user", "assistant"] == [each["role"] for each in said]
    assert said[1]["content"].startswith("In Paris it is ")
    kernel.run("chat.close()")
    assert f"> {decision.capitalize()} get_weather" in panel.cell.bundles[0]["text/plain"]
    assert {} == kernel.widgets


def test_retry_and_another_question(kernel: Kernel) -> None:
    """Retry asks the question anew, so that the agent asks again; another question takes the place of an answer."""
    panel = asked(kernel)
    kernel.press("Answer")
    panel.wait_for("tokens/s")
    panel.wait_ended()
    kernel.press("Retry")
    kernel.wait(lambda: kernel.has("Answer") and not panel.button("Send")["disabled"])
    assert ["user"] == [each["role"] for each in kernel.value("chat.messages")]
    panel.send("What is 2 plus 2?")
    kernel.wait(lambda: not kernel.has("Answer"))
    panel.wait_for("2 plus 2 is")  # a small model does not calculate
    kernel.run("chat.close()")


@pytest.mark.parametrize("decision", ["approve", "edit", "reject"])
def test_show(kernel: Kernel, decision: str) -> None:
    """`show` gives back what is asked, and goes on with `resume`."""
    kernel.run(f"asked = await show({QUESTION!r}, chain=agent, thread={decision!r})")
    assert "interrupted" == kernel.value("asked.state")
    kernel.run(f"resume = {{asked.interrupts[0]['id']: {{'decisions': [{DECISIONS[decision]!r}]}}}}")
    cell = kernel.run(f"answer = await show(None, chain=agent, thread={decision!r}, resume=resume)")
    assert RESULTS[decision] in str(cell.bundles)
    assert kernel.value("answer.complete and answer.text").startswith("In Paris it is ")
