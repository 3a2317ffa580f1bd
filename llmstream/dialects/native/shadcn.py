"""The React hook as an item of a shadcn registry: `npx shadcn add <server>/r/llmstream.json` copies it into an app.

Source: https://ui.shadcn.com/docs/registry/registry-item-json
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from llmstream.errors import NotFound

PATH = "/r/llmstream.json"

# In a wheel, and in the repository.
_FOLDERS = (Path(__file__).parents[2] / "hook", Path(__file__).parents[3] / "apps" / "react" / "src" / "llmstream")
_DOCS = (
    "It is in src/llmstream: `createClient` and `createChat` in its index, `useChat` and `useRun` in its `react`. "
    "Its README.md shows how."
)


@functools.cache
def registry_item() -> dict[str, Any]:
    """The item, with the hook's files as they are; raises `NotFound` where they are not there.

    An item and files of these types are copied without a change. With `registry:hook` or `registry:lib`, an app without
    Tailwind and an alias, such as Vite's template, would have to be changed first.
    """
    folder = next((folder for folder in _FOLDERS if (folder / "package.json").is_file()), None)
    if folder is None:
        raise NotFound("This server was installed without the React hook. Copy it from llmstream's repository.")
    package = json.loads((folder / "package.json").read_text("utf-8"))
    return {
        "$schema": "https://ui.shadcn.com/schema/registry-item.json",
        "name": "llmstream",
        "type": "registry:item",
        "title": "llmstream",
        "description": package["description"],
        "files": [_file(path) for path in sorted(folder.iterdir()) if path.suffix in (".ts", ".md")],
        "docs": _DOCS,
    }


def _file(path: Path) -> dict[str, str]:
    target = f"src/llmstream/{path.name}"
    # Bytes, because reading as text would change line ends.
    return {"path": target, "type": "registry:file", "target": f"~/{target}", "content": path.read_bytes().decode()}
