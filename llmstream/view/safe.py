"""Text of strangers made safe to print, and lines for a person.

Model text is a stranger's text: an escape sequence in it could rename the window, write the clipboard, hide what
stands on the screen or show a link that leads elsewhere. Each character is judged alone, so a sequence that is split
over pieces gets through no better than a whole one.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TextIO

# C0 but tab and newline, DEL, C1, and what turns the direction of text.
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_REMOVED = dict.fromkeys(code for code in _CONTROLS if chr(code) not in "\n\t")
_LINE_ENDS = str.maketrans(dict.fromkeys("\n\t\u2028\u2029", " "))


def safe_text(text: str) -> str:
    """The text without control characters but newline and tab, and without bidirectional overrides."""
    return text.translate(_REMOVED)


def one_line(text: str) -> str:
    """The text on one line, safe for a terminal or a log."""
    return safe_text(text.translate(_LINE_ENDS)).strip()


def print_line(message: str) -> None:
    """Prints one line for a person on stdout."""
    print(one_line(message), flush=True)


def print_stderr(message: str) -> None:
    """Prints one line for a person on stderr; where that can't be written, nothing happens."""
    _try_print(message, sys.stderr)


def try_print_line(message: str) -> None:
    """Prints one line about what goes on to stdout; where that can't be written, nothing happens."""
    _try_print(message, sys.stdout)


def _try_print(message: str, stream: TextIO | None) -> None:
    if stream is None:
        return
    try:
        print(one_line(message), file=stream, flush=True)
    except (OSError, ValueError):  # its reader is gone, its disk is full, it is closed
        mute(stream)


def mute(stream: TextIO) -> None:
    """Sends to nowhere what will be written to a stream, and what stands in its buffer."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
