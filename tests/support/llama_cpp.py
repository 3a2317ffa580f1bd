"""llama.cpp's own server for tests, and that of llama-cpp-python, with the tiny model on a free port."""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import DATA, ROOT

_MODELS = DATA / "models"
_START_TIMEOUT_S = 60.0
_LISTENING = re.compile(r"(?:listening|running) on (http://\S+)")
# Of the fields of a GGUF file a text has this type, and what follows them begins at a multiple of so many bytes.
_TEXT, _ALIGNMENT = 8, 32


def find_llama_cpp() -> Path | None:
    """The folder that `make llama-cpp` builds; None where it has not."""
    folder = Path(os.environ.get("LLMSTREAM_TEST_LLAMA_CPP") or ROOT / ".cache" / "llama-cpp")
    return folder if (folder / "bin" / "llama-server").is_file() else None


def with_template(model: bytes, template: str) -> bytes:
    """A GGUF file that has a chat template, too, in front of its other fields."""
    name, text = b"tokenizer.chat_template", template.encode()
    padding = -(8 + len(name) + 4 + 8 + 4 + len(text)) % _ALIGNMENT
    text = b"{#" + b" " * padding + b"#}" + text
    magic, version, tensors, fields = struct.unpack_from("<4sIQQ", model)
    field = struct.pack(f"<Q{len(name)}sIQ", len(name), name, _TEXT, len(text)) + text
    return struct.pack("<4sIQQ", magic, version, tensors, fields + 1) + field + model[24:]


class LlamaCpp:
    """A server as a context manager; python: the one of llama-cpp-python. arguments: beside those for the model."""

    def __init__(self, folder: Path, *arguments: str, python: bool = False) -> None:
        self._folder, self._arguments, self._python = folder, arguments, python
        self._home = tempfile.TemporaryDirectory(prefix="llmstream-llama-", ignore_cleanup_errors=True)
        self._process: subprocess.Popen[str] | None = None
        self._listening = threading.Event()
        self.root = ""
        self.log: list[str] = []

    @property
    def url(self) -> str:
        """The address, with /v1."""
        return f"{self.root}/v1"

    def _command(self) -> list[str]:
        model = Path(self._home.name) / "tiny-chat.gguf"
        model.write_bytes(
            with_template((_MODELS / "tiny-chat.gguf").read_bytes(), (_MODELS / "chat.jinja").read_text())
        )
        if self._python:
            command = [f"{self._folder}/env/bin/python", "-m", "llama_cpp.server", "--model_alias", "tiny-chat"]
            command += ["--n_threads", "1", "--n_threads_batch", "1", "--host", "127.0.0.1"]
        else:
            command = [f"{self._folder}/bin/llama-server", "--alias", "tiny-chat", "--threads", "1", "--no-webui"]
        return [*command, "--port", "0", "--model", str(model), *self._arguments]

    def __enter__(self) -> Self:
        """Starts the server, and returns when it answers; raises `RuntimeError` with the end of its log."""
        self._process = subprocess.Popen(
            self._command(),
            env={**os.environ, "HOME": self._home.name, "LLAMA_CPP_LIB_PATH": str(self._folder / "bin")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read_log, args=(self._process,), daemon=True)
        self._reader.start()
        if not self._listening.wait(_START_TIMEOUT_S) or not self.root:
            self.__exit__(None, None, None)
            raise RuntimeError("llama.cpp's server did not start:\n" + "".join(self.log[-20:]))
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the server."""
        self.kill()
        self._home.cleanup()

    def kill(self) -> None:
        """Kills the server with SIGKILL."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is None:
            return
        for line in process.stdout:
            self.log.append(line)
            if not self.root and (match := _LISTENING.search(line)):
                self.root = match[1]
                self._listening.set()
        self._listening.set()
