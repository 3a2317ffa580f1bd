"""A real Redis server of the tests' own, on a free port, to be killed, stopped and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.lacking import lacking
from tests.support.ports import free_port

_ENV = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}


def find_redis() -> str:
    """The binary, LLMSTREAM_TEST_REDIS if that names one; skips where there is none."""
    named = os.environ.get("LLMSTREAM_TEST_REDIS")
    binary = shutil.which(named) if named else shutil.which("redis-server") or shutil.which("valkey-server")
    if binary is None:
        lacking("Redis", "apt-get install redis-server")
    return str(binary)


class RedisServer:
    """`redis-server` in a folder of its own; `options` are lines of its configuration."""

    def __init__(self, folder: Path, *options: str, sentinel: bool = False) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._folder = folder / str(self.port)
        self._folder.mkdir(parents=True)
        lines = [f"port {self.port}", "bind 127.0.0.1", f"dir {self._folder}", 'save ""', *options]
        self._config = self._folder / "redis.conf"
        self._config.write_text("\n".join(line for line in lines if not (sentinel and line.startswith("save"))))
        self._command = [find_redis(), str(self._config), *(["--sentinel"] if sentinel else [])]
        self._process: subprocess.Popen[bytes] | None = None
        # For the test's own commands, not those of the code under test.
        self.client: Any = redis.Redis(port=self.port, protocol=2, socket_timeout=20)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self.client.close()

    def start(self, *options: str) -> None:
        """Begin, and wait until it answers; options: more lines of its configuration, for this time."""
        more = [f"--{word}" if place == 0 else word for line in options for place, word in enumerate(line.split())]
        log = (self._folder / "log").open("ab")
        with log:
            command = [*self._command, *more]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=_ENV, start_new_session=True)
        deadline = time.monotonic() + 20
        while True:
            try:
                if self.client.ping():
                    return
            except redis.RedisError as error:
                # Whatever it says of a password, it answers.
                if isinstance(error, redis.AuthenticationError):
                    return
                assert time.monotonic() < deadline, (self._folder / "log").read_text()
                assert self._process.poll() is None, (self._folder / "log").read_text()
                time.sleep(0.02)

    @property
    def is_there(self) -> bool:
        """True if it was started, and not killed since."""
        return self._process is not None

    def kill(self) -> None:
        """Take it away without a word."""
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        """Send it a signal: SIGSTOP makes it silent, SIGCONT goes on."""
        assert self._process is not None
        self._process.send_signal(number)

    def another_client(self) -> Any:
        """One more client, for a command that is not answered soon, or by whatever it says."""
        return redis.Redis(port=self.port, protocol=2, retry=Retry(NoBackoff(), 0))

    def wait_until_alone(self, but: str = "nobody") -> None:
        """Fail unless everybody lets go of it; but: how the names begin of those who may stay."""
        deadline = time.monotonic() + 10
        while found := [name for name in self.clients() if not name.startswith(but)]:
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def clients(self) -> list[str]:
        """The names of whoever is connected."""
        return [each["name"] for each in self.client.client_list() if each["name"]]
