"""The React app: its commands, run with its packages."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess

from tests.support import ROOT
from tests.support.lacking import lacking

APP = ROOT / "apps" / "react"


def run(*command: str, timeout_s: float) -> tuple[int, str]:
    """Runs a command of the React app; its status and what it printed."""
    environment = os.environ | {"CI": "1", "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=APP, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    return done.returncode, done.stdout + done.stderr


def npm() -> str:
    """The command, with the app's packages installed: once, also where several tests run side by side."""
    found = shutil.which("npm")
    if shutil.which("node") is None or found is None:
        lacking("Node", "put `node` and `npm` (version 20 or later) on PATH")
    assert found is not None
    lock_file = ROOT / ".cache" / "react-packages.lock"
    lock_file.parent.mkdir(exist_ok=True)
    with lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (APP / "node_modules" / ".package-lock.json").is_file():
            options = ("--no-progress", "--no-audit", "--no-fund", "--prefer-offline")
            status, said = run(found, "ci", *options, timeout_s=150)
            if status:
                lacking("npm packages", f"`npm ci` in apps/react failed, which needs the network once: {said}")
    return found
