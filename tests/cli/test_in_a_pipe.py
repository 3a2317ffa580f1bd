"""The command `llmstream`, run as people run it in a pipe."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from fastapi import FastAPI

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support import ROOT
from tests.support.called import Call, chats, read
from tests.support.command import COMMAND, TIMEOUT_S, environment, piped, run
from tests.support.real_ollama import RealOllama
from tests.support.serving import Served


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
    """What came is on stdout; stderr and the exit code say that it is not all."""
    done = call("ask", "Q?", "--model", "demo:length", ollama=upstream.url)
    assert ("The sky is blue because\n", 1) == (done.stdout, done.returncode)
    assert "llmstream: The answer was cut at its length limit.\n" == done.stderr


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


def test_a_real_ollama_answers_in_a_pipe(real_ollama: RealOllama) -> None:
    """Word for word what the model says."""
    arguments = ("ask", "What color is the sky?", "--model", "tiny-chat")
    done = run(*arguments, ollama=real_ollama.url, LLMSTREAM_TEMPERATURE="0")
    assert ("The sky is blue because air scatters blue light more than red light.\n", 0) == (
        done.stdout,
        done.returncode,
    )
