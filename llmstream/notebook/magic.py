"""`%%llm` and `%llm`: a question in a cell.

A magic is a plain function, and while one runs no button works; so the cell is rewritten to one that awaits. Where it
can't be (inside other code, or with %autoawait off), the magic itself answers, as `show_sync` does.
"""

from __future__ import annotations

import argparse
import re
import tokenize
from collections.abc import Mapping
from string import Formatter
from typing import Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.getipython import get_ipython

from llmstream.errors import LlmstreamError
from llmstream.errors.nearest import nearest
from llmstream.notebook.answer import Answer, answer_in
from llmstream.notebook.show import show, show_sync

_CELL = re.compile(r"%%llm(?=\s|$)(.*)")
_LINE = re.compile(r"%llm(?=\s|$)(.*)")
_OPTION = re.compile(r"\s*(-\S+)")
_VALUE = re.compile(r"""\s+("[^"]*"|'[^']*'|\S+)""")
_WITH_VALUE = ("-m", "--model", "-o", "--output", "-c", "--chain", "-i", "--image")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"%%llm: {message}. It takes [-m MODEL] [-o NAME] [-c CHAIN] [-i PATH] [--thinking] [-f] QUESTION."
        )


def _parser() -> _Parser:
    parser = _Parser(prog="%%llm", add_help=False, allow_abbrev=False)
    parser.add_argument("-m", "--model")
    parser.add_argument("-o", "--output")
    parser.add_argument("-c", "--chain")
    parser.add_argument("-i", "--image", action="append", default=[])
    parser.add_argument("--thinking", action="store_true", default=None)
    parser.add_argument("-f", "--format-vars", action="store_true")
    return parser


async def answer(line: str, cell: str = "") -> Answer:
    """Answers the question of a cell; a rewritten cell awaits this."""
    call = _Call(line, cell)
    try:
        return call.store(await show(call.question, **call.arguments))
    except LlmstreamError as error:
        if (partial := answer_in(error)) is not None:
            call.store(partial)
        raise


def llm(line: str, cell: str = "") -> Answer:
    """Asks a model, and streams its answer into the cell.

    %%llm [-m MODEL] [-o NAME] [-c CHAIN] [-i PATH] [--thinking] [-f]
    QUESTION

    -m, --model MODEL    the model that answers
    -o, --output NAME    a variable for the answer, with .text, .reasoning, .usage, .timings
    -c, --chain CHAIN    a variable that holds a LangChain Runnable, which answers instead of the model
    -i, --image PATH     an image to ask about, in quotes where its path has spaces; may be given several times
    --thinking           show the model's thinking
    -f, --format-vars    put variables in for {name} in the question; {{ and }} stand for braces
    """
    call = _Call(line, cell)
    try:
        return call.store(show_sync(call.question, **call.arguments))
    except LlmstreamError as error:
        if (partial := answer_in(error)) is not None:
            call.store(partial)
        raise


class _Call:
    """The options and the question of a cell; raises `UsageError` for options that are none."""

    def __init__(self, line: str, cell: str) -> None:
        options, rest = _split(line)
        shell: Any = get_ipython()
        self._variables: dict[str, Any] = shell.user_ns
        self._output = options.output
        if self._output is not None and not self._output.isidentifier():
            raise UsageError(f"%%llm: -o takes the name of a variable, got {self._output!r}.")
        question = "\n".join(part for part in (rest.strip(), cell.strip("\n")) if part)
        self.question = _fill(question, self._variables) if options.format_vars else question
        if not self.question.strip():
            raise UsageError("%%llm: there is no question. Write it below the first line, or behind the options.")
        self.arguments: Any = {name: getattr(options, name) for name in ("model", "thinking") if getattr(options, name)}
        if options.image:
            self.arguments["images"] = options.image
        if options.chain is not None:
            self.arguments["chain"] = self._chain(options.chain)

    def store(self, answer: Answer) -> Answer:
        """Puts the answer into the wanted variable."""
        if self._output is not None:
            self._variables[self._output] = answer
        return answer

    def _chain(self, name: str) -> Any:
        if name not in self._variables:
            raise UsageError(f"%%llm: -c takes a variable that holds a chain, and there is none named {name!r}.")
        chain = self._variables[name]
        if not (callable(chain) or hasattr(chain, "astream")):
            raise UsageError(f"%%llm: {name} is no chain: it is a {type(chain).__name__}, not a LangChain Runnable.")
        return chain


def _split(line: str) -> tuple[argparse.Namespace, str]:
    """The options at the beginning of a line, and the rest, in which nothing is special."""
    options: list[str] = []
    at = 0
    while (option := _OPTION.match(line, at)) is not None:
        at = option.end()
        if option[1] == "--":
            break
        options.append(option[1])
        if option[1] in _WITH_VALUE and (value := _VALUE.match(line, at)) is not None:
            options.append(value[1].strip("\"'") if option[1] in ("-i", "--image") else value[1])
            at = value.end()
    return _parser().parse_args(options), line[at:]


def _fill(question: str, variables: Mapping[str, Any]) -> str:
    try:
        return Formatter().vformat(question, (), variables)
    except KeyError as error:
        name = str(error.args[0])
        what_to_do = nearest(name, variables) or (f" Set it before, as in `{name} = …`." if name.isidentifier() else "")
        raise _unfilled(f"there is no variable {name!r}.{what_to_do}") from None
    except (ValueError, IndexError, AttributeError, TypeError) as error:
        raise _unfilled(f"{error}.") from None


def _unfilled(why: str) -> UsageError:
    return UsageError(f"%%llm: -f puts variables in for {{names}}, and {why} Write {{{{ and }}}} for braces.")


def awaiting(lines: list[str]) -> list[str]:
    """A cell that begins with `%%llm` as one that awaits the answer, and lines of `%llm` too; the rest as it is."""
    if not getattr(get_ipython(), "autoawait", False):
        return lines
    first, _, rest = "".join(lines).lstrip().partition("\n")
    if (match := _CELL.match(first)) is not None:
        return [_awaiting(match[1], rest)]
    found: list[str] = []
    for line in lines:
        # IPython would take a line that ends with a question mark for a wish for help.
        match = _LINE.match(line)
        found.append(_awaiting(match[1], "") if match and _is_statement(found) else line)
    return found


def _awaiting(line: str, cell: str) -> str:
    return f"(await __import__({__name__!r}, fromlist=['answer']).answer({line.strip()!r}, {cell!r}))\n"


def _is_statement(before: list[str]) -> bool:
    """True if what follows these lines is neither in a string nor in brackets."""
    try:
        for _ in tokenize.generate_tokens(iter(before).__next__):
            pass
    except (tokenize.TokenError, SyntaxError):
        return False
    return True


def register(shell: Any) -> None:
    """Makes the magics known to an IPython shell."""
    shell.register_magic_function(llm, magic_kind="line_cell", magic_name="llm")
    transforms = shell.input_transformers_cleanup
    # A module that was loaded anew takes the place of the old one.
    transforms[:] = [each for each in transforms if getattr(each, "__module__", "") != __name__]
    transforms.append(awaiting)
