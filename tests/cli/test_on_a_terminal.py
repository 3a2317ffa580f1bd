"""`ask` and `chat` on a terminal: Markdown, figures, Ctrl-C, and what a person is offered."""

from __future__ import annotations

import os
import re
import select
import signal
import sys

import pytest

from llmstream.demo_ollama import DemoOllama, Pause
from llmstream.demo_ollama.scenarios import SENTENCE
from tests.support.called import Call, chats
from tests.support.command import TIMEOUT_S, environment
from tests.support.forked import Forked
from tests.support.real_ollama import RealOllama

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo terminals on Windows: run it elsewhere")


class Terminal:
    """The command on a pseudo terminal of 60 columns; `seen` is all that it wrote there."""

    def __init__(self, *arguments: str, ollama: str, **variables: str) -> None:
        import fcntl
        import struct
        import termios

        self._own, its = os.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
        self.seen = ""
        self._position = 0
        files = [os.ttyname(its)] * 3
        self.process = Forked("llmstream", *arguments, environment=environment(ollama, **variables), files=files)
        self.process.started()
        os.close(its)

    def read_until(self, text: str) -> None:
        """Wait for the next occurrence of `text` after the one that was waited for before."""
        while (found := self.seen.find(text, self._position)) < 0:
            assert self._read(), f"{text!r} never came: {self.seen!r}"
        self._position = found + len(text)

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """The exit code, once everything is read."""
        while self._read():
            continue
        return self.process.wait(TIMEOUT_S)

    def _read(self) -> bool:
        assert select.select([self._own], [], [], TIMEOUT_S)[0], f"nothing more came: {self.seen!r}"
        try:
            piece = os.read(self._own, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            return False
        self.seen += piece.decode(errors="replace")
        return bool(piece)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.__exit__(*error)
        os.close(self._own)


def test_chat_remembers(upstream: DemoOllama, call: Call) -> None:
    """Each question goes with what was said before it; /new forgets, /model changes the model."""
    upstream.answers |= {"One?": "1.", "Two?": "2."}
    script = "One?\nTwo?\n/model demo-thinking\n/new\nOne?\n/help\n/what\n"
    done = call("chat", text=script, ollama=upstream.url)
    assert ("1.\n2.\n1.\n", 0) == (done.stdout, done.returncode)
    said = [[message["content"] for message in body["messages"]] for body in chats(upstream)]
    assert [["One?"], ["One?", "1.", "Two?"], ["One?"]] == said
    assert ["demo:latest", "demo:latest", "demo-thinking"] == [body["model"] for body in chats(upstream)]
    assert "There is no command /what." in done.stderr


def test_chat_goes_on_after_an_error(upstream: DemoOllama, call: Call) -> None:
    """A question without any answer is not part of the conversation."""
    upstream.answers["One?"] = "1."
    done = call("chat", text="/model nope\nLost?\n/model demo\nOne?\n", ollama=upstream.url)
    assert ("1.\n", 0) == (done.stdout, done.returncode)
    assert ["One?"] == [message["content"] for message in chats(upstream)[-1]["messages"]]


@needs_pty
def test_a_terminal_shows_markdown_and_figures(upstream: DemoOllama) -> None:
    """Laid out, with the model, the tokens and the speed below."""
    upstream.answers["Q?"] = "# Title\n\nSome **bold** text, and \x1b]0;evil\x07 no title.\n"
    with Terminal("ask", "Q?", ollama=upstream.url) as terminal:
        assert 0 == terminal.wait()
    assert "Some \x1b[1mbold\x1b[0m text, and ]0;evil no title." in terminal.seen
    assert "\x1b]" not in terminal.seen
    figures = r"\x1b\[2m\d+ ms to first token · \d+ tokens · .* tokens/s · (\x1b\[0m\r\n\x1b\[2m)?demo:latest"
    assert re.search(figures, terminal.seen)  # those of a fast machine take a second line


@needs_pty
def test_an_interrupt_on_a_terminal_keeps_what_came(upstream: DemoOllama) -> None:
    """The open paragraph is printed for good, without a traceback."""
    with Terminal("ask", "Q?", "--model", "demo:endless-100", ollama=upstream.url) as terminal:
        terminal.read_until("1 2 3")
        terminal.interrupt()
        assert 130 == terminal.wait()
    assert "Traceback" not in terminal.seen
    assert "llmstream: Stopped; the answer is not complete." in terminal.seen
    assert terminal.seen.rpartition("\x1b[2K")[0].rpartition("\x1b[2K")[2].startswith("1 2 3")
    assert upstream.wait_idle()


@needs_pty
@pytest.mark.parametrize("answer", ["y", "n"])
def test_a_missing_model_is_pulled_on_demand(answer: str, upstream: DemoOllama) -> None:
    """The person at a terminal is asked, and answered after the download."""
    upstream.answers["Q?"] = "Here."
    with Terminal("ask", "Q?", "--model", "demo-new", ollama=upstream.url) as terminal:
        terminal.read_until("Pull it now? [y/N] ")
        terminal.type(f"{answer}\n")
        assert {"y": 0, "n": 1}[answer] == terminal.wait()
    assert (answer == "y") == ("Pulled demo-new" in terminal.seen) == ("Here." in terminal.seen)
    assert (answer == "n") == ("`ollama pull demo-new`" in terminal.seen)


@needs_pty
def test_chat_keeps_the_part_of_a_stopped_answer(upstream: DemoOllama) -> None:
    """Ctrl-C ends the answer, not the chat; the next question goes with what came, or /continue says the rest."""
    upstream.answers["Three?"] = lambda request: "Tic tac toe." if request.begun else ["Tic ", Pause(600)]
    with Terminal("chat", "--model", "demo:endless-100", ollama=upstream.url) as terminal:
        terminal.read_until("> ")
        terminal.type("One?\n")
        terminal.read_until("1 2 3")
        terminal.interrupt()
        terminal.read_until("> ")
        terminal.type("/model demo\n")
        terminal.read_until("> ")
        terminal.type("Two?\n")
        terminal.read_until("tokens/s")
        terminal.read_until("> ")
        terminal.type("Three?\n")
        terminal.read_until("Tic")
        terminal.interrupt()
        terminal.read_until("> ")
        terminal.type("/continue\n")
        terminal.read_until("Tic tac toe.")
        terminal.read_until("> ")
        terminal.type("\x04")
        assert 0 == terminal.wait()
    first, part, second = [message["content"] for message in chats(upstream)[1]["messages"]]
    assert ("One?", "Two?") == (first, second)
    assert part.startswith(" 1 2 3")


@needs_pty
def test_a_real_ollama_thinks_on_a_terminal(real_ollama: RealOllama) -> None:
    """The thought dimmed, then the answer."""
    arguments = ("ask", "What is 7 times 8?", "--model", "tiny-chat", "--thinking")
    with Terminal(*arguments, ollama=real_ollama.url, LLMSTREAM_TEMPERATURE="0") as terminal:
        assert 0 == terminal.wait()
    assert "\x1b[2mThe user asks for 7 times 8." in terminal.seen
    assert "7 times 8 is 56." in terminal.seen


def test_chat_continues_a_cut_answer(upstream: DemoOllama, call: Call) -> None:
    """/continue says the rest, and the next question goes with the whole; what can't be continued is told."""
    upstream.answers["Two?"] = "2."
    done = call(
        "chat", "--model", "demo:length", text="/continue\nOne?\n/continue\n/new\n/continue\n", ollama=upstream.url
    )
    assert 0 == done.returncode
    assert "The sky is blue because\nThe sky is blue because air scatters blue light more\n" == done.stdout
    assert [["One?"], ["One?", "The sky is blue because"]] == [
        [message["content"] for message in body["messages"]] for body in chats(upstream)
    ]
    assert 2 == done.stderr.count("There is no answer to go on with.")
    assert "/continue goes on from here." in done.stderr

    done = call(
        "chat", "--model", "demo:cut-once", text="One?\n/continue\n/model demo\nTwo?\n/continue\n", ollama=upstream.url
    )
    assert "This answer is complete" in done.stderr
    assert ["One?", SENTENCE, "Two?"] == [message["content"] for message in chats(upstream)[-1]["messages"]]


@needs_pty
def test_a_terminal_offers_to_continue(upstream: DemoOllama) -> None:
    """From the last paragraph on, which is shown again; no leaves it as it is."""
    whole = "First.\n\nThe second one goes on."
    upstream.answers["Q?"] = lambda request: whole if request.begun else [whole[:22], Pause(600)]
    for wanted, code in (("n", 1), ("y", 0)):
        with Terminal("ask", "Q?", ollama=upstream.url) as terminal:
            terminal.read_until("The second one")
            upstream.close()
            upstream.start()
            terminal.read_until("Go on from here? [y/N] ")
            before = len(terminal.seen)
            terminal.type(f"{wanted}\n")
            assert code == terminal.wait()
            after = terminal.seen[before:]
            assert "First." not in after
            assert (wanted == "y") == ("The second one goes on." in after)
