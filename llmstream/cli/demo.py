"""`llmstream demo`: the demo Ollama where an app of one's own looks for an Ollama."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import threading

from llmstream.demo_ollama.server import DemoOllama
from llmstream.errors import LlmstreamError
from llmstream.view.safe import try_print_line

_LOOK_S = 0.2


def run(arguments: argparse.Namespace) -> int:
    """Answers until Ctrl-C or SIGTERM; raises `LlmstreamError` where the port can't be had."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    try:
        demo = DemoOllama(port=arguments.port, any_model=True).start()
    except OSError as error:
        raise LlmstreamError(_why_not(arguments.port, error)) from error
    try_print_line(f"The demo Ollama answers at {demo.url}, as any model, from llmstream's own pages.")
    if demo.port != 11434:
        try_print_line(f"Your app finds it with OLLAMA_HOST={demo.url}")
    try:
        # Not for ever at a time: a signal that another thread is given would not wake this one, which has to handle it.
        while not ended.wait(_LOOK_S):
            pass
    except KeyboardInterrupt:
        pass
    finally:
        demo.close()
    return 0


def _why_not(port: int, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        why = os.strerror(error.errno) if error.errno else error
        return f"Can't listen on port {port}: {why}. Choose another one: llmstream demo --port 0"
    return (
        f"Port {port} is taken, by an Ollama perhaps: then it answers, and no demo is needed. "
        "Another port: llmstream demo --port 0"
    )
