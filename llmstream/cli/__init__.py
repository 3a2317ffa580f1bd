"""The command `llmstream`. What is heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from llmstream import __version__
from llmstream.cli.log_lines import log_to_stderr
from llmstream.cli.parser import Parser
from llmstream.errors import LlmstreamError, SettingsError

INTERRUPTED = 130

# 128 + SIGPIPE: what a shell reports of a program whose reader has left.
READER_LEFT = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code: 0, 1 for a failure, 2 for a wrong use, 130 after Ctrl-C, 141 without a reader."""
    _open_missing()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if callable(reconfigure := getattr(stream, "reconfigure", None)):
            reconfigure(errors="replace")  # a console that lacks a character shows ? instead of failing
    log_to_stderr()
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except LlmstreamError as error:
        complain(error.message)
        return exit_code(error)
    except OSError as error:
        from llmstream.view.safe import mute

        mute(sys.stdout)  # Python would complain at its end of what is still buffered
        if _reader_left(error):
            return READER_LEFT
        where = f"{error.filename}: " if error.filename else "The output can't be written: "
        complain(f"{where}{error.strerror or error}.")
        return 1


def _run(argv: Sequence[str] | None) -> int:
    parser = _parser()
    try:
        arguments = parser.parse_args(argv)
        if getattr(arguments, "topic", None):
            parser.parse_args([arguments.topic, "--help"])
    except SystemExit:  # after the help or the version, or a complaint
        sys.stdout.flush()
        raise
    if arguments.command in (None, "help"):
        parser.print_help()
        code = 2 if arguments.command is None else 0
    else:
        code = importlib.import_module(f"llmstream.cli.{arguments.command}").run(arguments)
    sys.stdout.flush()
    return code


def _open_missing() -> None:
    """Opens the null device for stdin, stdout and stderr where they are closed: other files would take their numbers.

    A closed stdout can't be written, as one on a full disk can't; a closed stdin is at its end.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDONLY), number)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="llmstream", description="Stream an LLM's answer from Ollama to people.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"llmstream {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")

    serve = _command(commands, "serve", "serve the HTTP API, with its documentation at /docs")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=_port, default=8000, help="port to listen on (8000); 0 takes a free one")
    serve.add_argument("--allow-public", action="store_true", help="listen to the network without a token")
    serve.add_argument(
        "--root-path", type=_root_path, default="", metavar="/PATH", help="where a proxy that takes it away shows this"
    )
    serve.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="processes that share LLMSTREAM_REDIS_URL (1)"
    )
    _add_model(serve)

    _add_asking(commands)
    demo = _command(commands, "demo", "be a demo Ollama, for an app of yours while there is no real one")
    demo.add_argument(
        "--port", type=_port, default=11434, help="port to listen on (11434, Ollama's own); 0 takes a free one"
    )
    models = _command(commands, "models", "list the models that Ollama has")
    models.add_argument("--json", action="store_true", help="print a JSON object, for programs")
    _add_demo(models)
    _command(commands, "doctor", "tell what runs, what is missing and how to get it")
    topic = _command(commands, "help", "tell how to use a command")
    topic.add_argument("topic", metavar="COMMAND", nargs="?", choices=list(commands.choices), help="the command")
    return parser


def _add_asking(commands: Any) -> None:
    ask = _command(commands, "ask", "ask one question")
    ask.add_argument("question", nargs="*", help="the question; below it goes what is piped. - is the pipe alone")
    ask.add_argument("--json", action="store_true", help="print a JSON object, for programs, when the answer has ended")
    ask.add_argument(
        "--image", metavar="PATH", action="append", default=[], help="an image to ask about; may be given several times"
    )
    chat = _command(commands, "chat", "have a conversation")
    for command in (ask, chat):
        _add_model(command)
        command.add_argument("--thinking", action="store_true", help="let the model think, and show it")
        command.add_argument("--system", metavar="TEXT", help="a system prompt")
        command.add_argument("--url", help="ask the llmstream server at this address (LLMSTREAM_TOKEN is its token)")


def _command(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    """Adds the command that `run` of the module of this name carries out."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
    )
    return command


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model", metavar="NAME", help="the model to use; without it LLMSTREAM_MODEL, or a loaded one"
    )
    _add_demo(command)


def _add_demo(command: argparse.ArgumentParser) -> None:
    demo = command.add_mutually_exclusive_group()
    demo.add_argument("--demo", dest="demo", action="store_const", const="always", help="use the demo Ollama")
    demo.add_argument("--no-demo", dest="demo", action="store_const", const="never", help="fail without an Ollama")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 65535, got {text!r}")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 256, got {text!r}")
    return int(text)


def _root_path(text: str) -> str:
    if not re.fullmatch(r"(/[\w~-][\w.~-]*)*/?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"expected a path such as /llm, got {text!r}")
    return text.rstrip("/")


def exit_code(error: LlmstreamError) -> int:
    """The exit code for an error: 2 for a wrong use, 1 for a failure."""
    return 2 if isinstance(error, SettingsError) else 1


def complain(message: str) -> None:
    """Tells what went wrong."""
    from llmstream.view.safe import print_stderr

    print_stderr(f"llmstream: {message}")


def _reader_left(error: OSError) -> bool:
    """True if an error says that nobody reads stdout any more; Windows says EINVAL then."""
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)
