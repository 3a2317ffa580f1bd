"""Nobody listens, the disk is full, a handler fails: every run ends and is told, and the commands say one line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from textwrap import dedent

import httpx
import pytest

from llmstream.events import Failed
from tests.support.command import run
from tests.support.holding import LIMIT_S, run_script, said
from tests.support.serving import native_events

COMMAND = [sys.executable, "-m", "llmstream"]


def test_log_handler_that_raises() -> None:
    """A run whose failure can't be logged ends with its one terminal event, and gives its place back."""
    script = """
    import asyncio, logging, llmstream
    class Full(logging.Handler):
        def emit(self, record): raise OSError("no space left")
    async def bad(question): raise ValueError("boo")
    async def main():
        runs = llmstream.Runs(llmstream.Settings(demo="never"))
        run = await runs.start("hi", chain=bad)
        print([type(event).__name__ async for event in run.follow()])
        await runs.drain(5)
        print(runs.active)
    logging.getLogger("llmstream").addHandler(Full())
    asyncio.run(main())
    """
    assert ["['Started', 'Failed']", "[]"] == said(dedent(script))


def test_chain_that_ends_the_process() -> None:
    """`sys.exit()` in a chain ends the process, as it says; the run's followers are told before."""
    script = """
    import asyncio, sys, llmstream
    async def bad(question): sys.exit(3)
    async def main():
        runs = llmstream.Runs(llmstream.Settings(demo="never"))
        run = await runs.start("hi", chain=bad)
        try: await asyncio.sleep(60)
        finally: print([type(event).__name__ async for event in run.follow()])
    asyncio.run(main())
    """
    done = run_script(dedent(script))
    assert (3, "['Started', 'Cancelled']\n") == (done.returncode, done.stdout)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("command", [["ask", "--demo", "hi"], ["models", "--demo"], ["doctor"]])
def test_full_disk(command: list[str]) -> None:
    """A command whose output can't be written says so in one line."""
    done = run(*command, ollama="127.0.0.1:9", output="/dev/full")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Demo model")]
    assert (1, ["llmstream: The output can't be written: No space left on device."]) == (done.returncode, lines)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes the descriptors")
@pytest.mark.parametrize(("closed", "code"), [("<&-", 0), (">&-", 1), ("2>&-", 0), ("<&- >&- 2>&-", 1)])
def test_closed_descriptors(closed: str, code: int) -> None:
    """A command whose stdin, stdout or stderr is closed says at most one line, and shows no trace."""
    script = f'exec "{sys.executable}" -m llmstream ask --demo hi {closed}'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert code == done.returncode
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Demo model")]
    assert len(lines) <= 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_server_whose_reader_is_gone() -> None:
    """As with `serve | head -1`: it serves on, and SIGTERM tells the open clients before the process ends."""
    environment = {**os.environ, "LLMSTREAM_DRAIN_S": "0", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*COMMAND, "serve", "--demo", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        address = re.search(r"http://[\d.:]+", process.stdout.readline())
        assert address is not None
        process.stdout.close()
        url, body = address[0], b""
        question = {"question": "How do I mount llmstream in my FastAPI app?"}
        with httpx.stream("POST", f"{url}/stream", json=question, timeout=LIMIT_S) as answer:
            for part in answer.iter_raw():
                if not body:
                    process.send_signal(signal.SIGTERM)
                body += part
        last = native_events(body)[-1]
        assert isinstance(last, Failed)
        assert "server_shutdown" == last.code
        assert -signal.SIGTERM == process.wait(timeout=LIMIT_S)
        assert "Traceback" not in process.stderr.read()
    finally:
        process.stderr.close()
        process.kill()
        process.wait()
