"""Holds a server against its OpenAPI document: `python -m tests.schema.check path/to/schemathesis [options]`.

Schemathesis asks every endpoint what the document allows and what it does not. Each answer must have a documented
status, content type and form, and none may be a failure of the server.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from llmstream.fastapi import create_app
from llmstream.settings import Settings
from tests.support.leaving import Leaving
from tests.support.serving import serving

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# What is sent is random but the same each time, so that a failure is one of the change that it shows up with.
OPTIONS = [
    "--phases",
    "examples,coverage,fuzzing",
    "--max-examples",
    "10",
    "--seed",
    "1",
    "--generation-database",
    "none",
    "--request-timeout",
    "30",
    # That one chain knows no other model, and no run has the id of an example, is as it should be.
    "--warnings",
    "off",
]
# Some two minutes on a machine that has little else to do.
TIMEOUT_S = 900


async def echo(question: str) -> str:
    """A chain that needs no model."""
    return f"You asked {question}"


def main(schemathesis: str, *options: str) -> int:
    """Its exit status."""
    logging.disable(logging.INFO)  # a line for each of thousands of requests
    # A stream that is left is left within a heartbeat.
    app = create_app(Settings(demo="never", heartbeat_s=0.05), chain=echo, name="chain")
    app.add_middleware(Leaving)
    with serving(app) as served:
        command = [
            str(Path(schemathesis).absolute()),
            "run",
            f"{served.url}/openapi.json",
            "--checks",
            CHECKS,
            *OPTIONS,
            *options,
        ]
        with TemporaryDirectory() as directory:  # for the files that it leaves behind
            try:
                return subprocess.run(command, check=False, cwd=directory, timeout=TIMEOUT_S).returncode
            except subprocess.TimeoutExpired:
                print(f"schemathesis did not end within {TIMEOUT_S} s", file=sys.stderr)
                return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
