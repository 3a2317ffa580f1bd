"""The command `llmstream`, run as people run it: in a pipe, and on a terminal."""

from __future__ import annotations

import io
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import pytest
from fastapi import FastAPI

from llmstream import __version__
from llmstream.cli import main
from llmstream.demo_ollama import DemoOllama, Pause
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.command import COMMAND, TIMEOUT_S, environment, piped, run
from tests.support.forked import Forked
from tests.support.real_ollama import RealOllama
from tests.support.serving import Served

HEAVY = (
    "aiohttp",
    "fastapi",
    "gradio",
    "langchain_core",
    "msgspec",
    "ollama",
    "pydantic",
    "rich",
    "starlette",
    "uvicorn",
)


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


@dataclass
class Done:
    """What a command wrote and its exit code."""

    stdout: str
    stderr: str
    returncode: int


Call = Callable[..., Done]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`run` in this process: starting one takes seconds."""

    def called(*arguments: str, ollama: str, text: str = "", **variables: str) -> Done:
        for name, value in {"OLLAMA_HOST": ollama, **variables}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = main(arguments)
        out, err = capsys.readouterr()
        return Done(out, err, code)

    return called


def read(stream: IO[bytes] | None, size: int) -> bytes:
    """The next `size` bytes, waiting for them."""
    assert stream is not None
    data = b""
    while len(data) < size and (piece := stream.read(size - len(data))):
        data += piece
    return data


def chats(upstream: DemoOllama) -> list[dict[str, Any]]:
    return [request.body for request in upstream.requests if request.path == "/api/chat"]


def test_help_imports_nothing_heavy() -> None:
    """Help and version are there at once, so nothing is imported that they do not need."""
    code = "import sys\nfrom llmstream.cli import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert "serve" in done.stdout
    assert set() == set(HEAVY) & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["{}", "--help"], ["help", "{}"]])
@pytest.mark.parametrize("command", ["serve", "ask", "chat", "demo", "models", "doctor", "help"])
def test_every_command_has_help(command: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The help of a command says how to use it, whichever way it is asked for."""
    with pytest.raises(SystemExit) as ended:
        main([word.format(command) for word in words])
    assert 0 == ended.value.code
    assert capsys.readouterr().out.startswith(f"usage: llmstream {command}")


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """`llmstream help` is `--help`; a command that there is not is told."""
    assert 0 == main(["help"])
    assert capsys.readouterr().out.startswith("usage: llmstream [-h]")
    with pytest.raises(SystemExit) as ended:
        main(["help", "sing"])
    assert 2 == ended.value.code
    assert "invalid choice: 'sing'" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the package's."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert f"llmstream {__version__}\n" == capsys.readouterr().out


def test_a_pipe_gets_the_answer_exactly(upstream: DemoOllama) -> None:
    """No layout, no notice: the characters of the answer."""
    upstream.answers["Q?"] = "# T\n\n- **a**\t`b`\n\n| x |\n| - |\n\n漢字 👨‍👩‍👧 [bold] <b>\u2028 é\n  end"
    done = run("ask", "Q?", ollama=upstream.url)
    assert (upstream.answers["Q?"] + "\n", "", 0) == (done.stdout, done.stderr, done.returncode)


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_the_question_comes_from_stdin(arguments: list[str], upstream: DemoOllama, call: Call) -> None:
    """Without an argument, or with a dash for one."""
    upstream.answers["From a\npipe?"] = "Yes."
    assert "Yes.\n" == call("ask", *arguments, text="From a\npipe?\n", ollama=upstream.url).stdout


@pytest.mark.parametrize(
    ("text", "asked"), [("A text\nof two lines.\n", "Sum up.\n\nA text\nof two lines."), ("\n", "Sum up.")]
)
def test_a_question_about_what_is_piped(text: str, asked: str, upstream: DemoOllama, call: Call) -> None:
    """`cat file | llmstream ask "…"` asks the question, and below a blank line stands the text."""
    assert 0 == call("ask", "Sum up.", text=text, ollama=upstream.url).returncode
    assert asked == chats(upstream)[-1]["messages"][-1]["content"]


def test_a_stdin_that_stays_open_is_told(upstream: DemoOllama) -> None:
    """Who starts the command and leaves its stdin open learns what it waits for."""
    upstream.answers["Q?"] = "A."
    with subprocess.Popen(
        [*COMMAND, "ask", "Q?"],
        cwd=ROOT,
        env=environment(upstream.url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        assert b"Waiting for the end of the text on stdin" in process.stderr.readline()
        assert (b"A.\n", b"") == process.communicate(timeout=TIMEOUT_S)


def test_an_empty_question_is_refused(upstream: DemoOllama, call: Call) -> None:
    """Nothing is asked then."""
    done = call("ask", text=" \n", ollama=upstream.url)
    complaint = 'llmstream: The question is empty. Ask one: llmstream ask "What is streaming?"\n'
    assert (complaint, 1) == (done.stderr, done.returncode)
    assert [] == chats(upstream)


def test_control_characters_do_not_reach_a_pipe(upstream: DemoOllama, call: Call) -> None:
    """Escape sequences arrive in pieces, and lose what makes them work."""
    upstream.answers["Q?"] = "a\x1b[31mb\x1b]52;c;aGk=\x07c\x1b]8;;http://e\x1b\\d\x9b2Je\u202ef\rg"
    assert "a[31mb]52;c;aGk=c]8;;http://e\\d2Jefg\n" == call("ask", "Q?", ollama=upstream.url).stdout


def test_what_is_sent(upstream: DemoOllama, call: Call) -> None:
    """The system prompt, the question, which needs no quotes, the model and the wish to think."""
    call(
        "ask",
        "What",
        "is",
        "it?",
        "--system",
        "Be brief.",
        "--model",
        "demo-thinking",
        "--thinking",
        ollama=upstream.url,
    )
    body = chats(upstream)[-1]
    assert [("system", "Be brief."), ("user", "What is it?")] == [(m["role"], m["content"]) for m in body["messages"]]
    assert ("demo-thinking", True) == (body["model"], body["think"])


def test_reasoning_stays_out_of_a_pipe(upstream: DemoOllama, call: Call) -> None:
    """The answer alone."""
    assert f"{SENTENCE}\n" == call("ask", "Q?", "--model", "demo:thinking", "--thinking", ollama=upstream.url).stdout


def test_an_error_is_one_line_and_what_came_is_kept(upstream: DemoOllama, call: Call) -> None:
    """The beginning of the answer on stdout, the error on stderr, exit code 1."""
    done = call("ask", "Q?", "--model", "demo:error-line", ollama=upstream.url)
    assert ("The sky is blue because\n", 1) == (done.stdout, done.returncode)
    assert done.stderr.startswith("llmstream: ")
    assert 1 == done.stderr.count("\n")


def test_a_cut_answer_is_said_to_be_cut(upstream: DemoOllama, call: Call) -> None:
    """The model's limit is no error, but it is told."""
    done = call("ask", "Q?", "--model", "demo:length", ollama=upstream.url)
    assert ("The sky is blue because\n", 0) == (done.stdout, done.returncode)
    assert "The answer was cut" in done.stderr


def test_a_truncated_prompt_is_told(upstream: DemoOllama, call: Call) -> None:
    """So that nobody wonders why the model has forgotten the beginning."""
    done = call("ask", "word " * 200, ollama=upstream.url, LLMSTREAM_NUM_CTX="50")
    assert 0 == done.returncode
    assert "The prompt was longer than the model's context" in done.stderr


def test_without_an_ollama_the_demo_answers_and_says_so() -> None:
    """One line on stderr, the answer on stdout."""
    done = run("ask", "What is a run?", ollama="127.0.0.1:9")
    assert 0 == done.returncode
    assert done.stderr.startswith("Demo model: no Ollama at http://127.0.0.1:9.")
    assert 1 == done.stderr.count("\n")
    assert done.stdout.strip()


def test_no_demo_is_obeyed(call: Call) -> None:
    """Then a missing Ollama is an error that says what to do."""
    done = call("ask", "Q?", "--no-demo", ollama="127.0.0.1:9")
    assert ("", 1) == (done.stdout, done.returncode)
    assert done.stderr.endswith("with `ollama serve`, or a demo in its place with `llmstream demo`.\n")
    assert 1 == done.stderr.count("\n")


def test_demo_is_obeyed(upstream: DemoOllama, call: Call) -> None:
    """Then the Ollama that is there is not asked."""
    done = call("ask", "Q?", "--demo", ollama=upstream.url)
    assert ("Demo model: started with --demo.\n", 0) == (done.stderr, done.returncode)
    assert [] == chats(upstream)


def test_a_missing_model_is_told_with_its_command(upstream: DemoOllama, call: Call) -> None:
    """A pipe is not asked whether to pull it."""
    done = call("ask", "Q?", "--model", "demo-new", ollama=upstream.url)
    assert ("", 1) == (done.stdout, done.returncode)
    assert "`ollama pull demo-new`" in done.stderr


def test_a_models_name_can_not_steer_the_terminal(upstream: DemoOllama, call: Call) -> None:
    """What is named in an error is neutralised like an answer."""
    done = call("ask", "Q?", "--model", "x\x1b[2J\ny", ollama=upstream.url)
    assert "\x1b" not in done.stderr
    assert 1 == done.stderr.count("\n")


def test_a_wrong_setting_is_told(call: Call) -> None:
    """The variable, what it takes and what it held; exit code 2."""
    done = call("ask", "Q?", ollama="127.0.0.1:9", LLMSTREAM_GRACE_S="soon")
    assert ("llmstream: LLMSTREAM_GRACE_S takes a number of seconds, 0 or more, got 'soon'.\n", 2) == (
        done.stderr,
        done.returncode,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process on Windows: run it elsewhere")
@pytest.mark.parametrize("times", [1, 3])
def test_an_interrupt_stops_the_model(times: int, upstream: DemoOllama) -> None:
    """Ctrl-C closes the connection to Ollama and keeps what came, also where it is pressed again and again."""
    with piped("ask", "Q?", "--model", "demo:endless-100", ollama=upstream.url) as process:
        assert process.stdout is not None
        first = read(process.stdout, 4)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=TIMEOUT_S)
        assert (130, b"") == (process.returncode, errors)
    answer = (first + rest).decode()
    assert answer.startswith(" 1 2")
    assert answer.endswith("\n")
    assert upstream.wait_idle()
    assert upstream.requests[-1].closed


def test_a_reader_that_leaves_stops_the_model(upstream: DemoOllama) -> None:
    """As with `| head`: no complaint, and the model is not kept busy."""
    with piped("ask", "Q?", "--model", "demo:endless-100", ollama=upstream.url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        read(process.stdout, 4)
        process.stdout.close()
        assert (141, b"") == (process.wait(TIMEOUT_S), process.stderr.read())
    assert upstream.wait_idle()
    assert upstream.requests[-1].closed


def as_json(done: Done) -> dict[str, Any]:
    """The one object that was printed, on one line."""
    assert 1 == done.stdout.count("\n")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_an_answer_as_json(upstream: DemoOllama, call: Call) -> None:
    """Text and thinking, exactly, the model, and the figures; no character steers a terminal."""
    upstream.answers["Q?"] = "a\x1b[31m\x9b b\n é"
    done = call("ask", "Q?", "--json", ollama=upstream.url)
    assert ("", 0, True) == (done.stderr, done.returncode, done.stdout.isascii())
    answer = as_json(done)
    assert "a\x1b[31m\x9b b\n é" == answer["text"]
    assert ("finished", "stop", "demo:latest", None) == tuple(
        answer[name] for name in ("state", "reason", "model", "error")
    )
    assert answer["usage"]["output_tokens"] > 0
    assert answer["timings"]["total_s"] > 0
    thoughts = as_json(call("ask", "Q?", "--json", "--model", "demo:thinking", "--thinking", ollama=upstream.url))
    assert thoughts["reasoning"]


@pytest.mark.parametrize(
    ("arguments", "text", "code", "exit_code"),
    [
        (["Q?", "--model", "demo:error-line"], "The sky is blue because", "upstream_error", 1),
        (["Q?", "--model", "demo-new"], "", "model_not_found", 1),
        (["Q?", "--image", "/no/such.png"], "", "invalid_request", 1),
        (["Q?", "--url", "nowhere"], "", "settings", 2),
        (["Q?", "--url", "http://127.0.0.1:9"], "", "upstream_unreachable", 1),
        ([" "], "", "invalid_request", 1),
    ],
)
def test_an_error_as_json(
    arguments: list[str], text: str, code: str, exit_code: int, upstream: DemoOllama, call: Call
) -> None:
    """What is wrong stands in the object, with what came before; stderr is empty, the exit code as ever."""
    done = call("ask", *arguments, "--json", ollama=upstream.url)
    answer = as_json(done)
    assert (exit_code, "", "failed") == (done.returncode, done.stderr, answer["state"])
    assert (text, code) == (answer["text"], answer["error"]["code"])
    assert answer["error"]["message"]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT to another process on Windows: run it elsewhere")
def test_an_interrupted_answer_as_json(upstream: DemoOllama) -> None:
    """Ctrl-C keeps what came, and frees the model."""
    with piped("ask", "Q?", "--json", "--model", "demo:stall-3", ollama=upstream.url) as process:
        assert upstream.wait_active(timeout_s=TIMEOUT_S)  # a process is slow to start on a busy machine
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=TIMEOUT_S)
    assert (130, b"", "cancelled") == (process.returncode, errors, json.loads(out)["state"])
    assert upstream.wait_idle()


def test_another_server_is_asked(
    upstream: DemoOllama,
    settings: Settings,
    serve: Callable[[FastAPI], Served],
) -> None:
    """With --url the run is the server's."""
    upstream.answers["Q?"] = "Over there."
    served = serve(create_app(settings))
    done = run("ask", "Q?", "--url", served.url, ollama="127.0.0.1:9")
    assert ("Over there.\n", "", 0) == (done.stdout, done.stderr, done.returncode)


def test_a_server_that_is_not_there(call: Call) -> None:
    """An error in one line, as without --url."""
    done = call("ask", "Q?", "--url", "http://127.0.0.1:9", ollama="127.0.0.1:9")
    assert ("No llmstream server answers at http://127.0.0.1:9" in done.stderr, 1) == (True, done.returncode)


def test_url_and_demo_exclude_each_other(call: Call) -> None:
    """Another server decides for itself."""
    done = call("ask", "Q?", "--url", "http://127.0.0.1:9", "--demo", ollama="127.0.0.1:9")
    assert ("--url" in done.stderr, 2) == (True, done.returncode)


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
    assert re.search(r"\x1b\[2m\d+ ms to first token · \d+ tokens · .* tokens/s · demo:latest", terminal.seen)


@needs_pty
def test_an_interrupt_on_a_terminal_keeps_what_came(upstream: DemoOllama) -> None:
    """The open paragraph is printed for good, without a traceback."""
    with Terminal("ask", "Q?", "--model", "demo:endless-100", ollama=upstream.url) as terminal:
        terminal.read_until("1 2 3")
        terminal.interrupt()
        assert 130 == terminal.wait()
    assert "Traceback" not in terminal.seen
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


def test_a_real_ollama_answers_in_a_pipe(real_ollama: RealOllama) -> None:
    """Word for word what the model says."""
    arguments = ("ask", "What color is the sky?", "--model", "tiny-chat")
    done = run(*arguments, ollama=real_ollama.url, LLMSTREAM_TEMPERATURE="0")
    assert ("The sky is blue because air scatters blue light more than red light.\n", 0) == (
        done.stdout,
        done.returncode,
    )


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
