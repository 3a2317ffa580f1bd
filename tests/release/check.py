"""Holds what a release is made of against what people get of it: `python -m tests.release.check folder`.

The wheel and the sdist in the folder must hold the chat page, the pages that the demo answers from and the React hook;
the wheel must answer a question in an environment of its own, and `shadcn` add the hook that it serves to an app. `make
dist` builds both, the wheel from the sdist.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support import HOOK, ROOT

WHEEL = ("llmstream/page/index.html", "llmstream/demo_ollama/docs/README.md", "llmstream/py.typed")
SDIST = ("llmstream/page/index.html", "docs/chains.md", "README.md", "CHANGELOG.md", "LICENSE", "hatch_build.py")
PROGRAM = """
import importlib.metadata
import llmstream

assert importlib.metadata.version("llmstream-toolkit") == llmstream.__version__
with llmstream.demo(tokens_per_s=None):
    answer = "".join(llmstream.stream("How do I mount llmstream in my FastAPI app?"))
assert "create_router" in answer, answer
"""


SHADCN = ("npx", "--yes", "shadcn@latest", "add", "--yes")


def main(folder: str) -> int:
    """The exit status."""
    (wheel,), (sdist,) = Path(folder).glob("*.whl"), Path(folder).glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        missing = [f"{wheel.name}: {name}" for name in WHEEL if name not in archive.namelist()]
        packed = {name.removeprefix("llmstream/hook/"): name for name in archive.namelist() if "/hook/" in name}
        missing += [
            f"{wheel.name}: llmstream/hook/{path.name}"
            for path in HOOK.iterdir()
            if path.name not in packed or archive.read(packed[path.name]) != path.read_bytes()
        ]
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        missing += [f"{sdist.name}: {name}" for name in SDIST if name not in names]
    if missing:
        print("What has to be in them is not:", *missing, sep="\n  ")
        return 1
    with TemporaryDirectory() as environment:
        _try(wheel, Path(environment))
        _add_hook(Path(environment))
    print(f"{wheel} and {sdist} are what a release needs.")
    return 0


def _try(wheel: Path, environment: Path) -> None:
    """Installs the wheel alone, and asks a question; raises where that fails."""
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    constraints = ("--constraint", ROOT / "constraints.txt")
    quiet = ("--quiet", "--disable-pip-version-check")
    subprocess.run([environment / "bin" / "pip", "install", *quiet, *constraints, wheel], check=True)
    subprocess.run([environment / "bin" / "python", "-W", "error", "-c", PROGRAM], check=True, cwd=environment)
    subprocess.run([environment / "bin" / "llmstream", "--version"], check=True, cwd=environment)


def _add_hook(environment: Path) -> None:
    """Adds the hook from a server of this environment to an app, as README says; raises where that is not the hook."""
    command = [str(environment / "bin" / "llmstream"), "serve", "--demo", "--port", "0"]
    with (
        TemporaryDirectory() as app,
        subprocess.Popen(command, cwd=environment, stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            url = next(match[1] for line in server.stdout if (match := re.search(r"listens on (http://\S+)", line)))
            package = Path(app, "package.json")
            package.write_text('{"name": "app", "private": true}')
            subprocess.run([*SHADCN, f"{url}/r/llmstream.json"], cwd=app, check=True, stdout=subprocess.DEVNULL)
        finally:
            server.terminate()
        added = {path.name: path.read_bytes() for path in Path(app, "src", "llmstream").iterdir()}
        assert {path.name: path.read_bytes() for path in HOOK.iterdir() if path.name != "package.json"} == added
        assert "dependencies" not in json.loads(package.read_text())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
