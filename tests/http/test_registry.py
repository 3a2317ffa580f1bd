"""The React hook as an item of a shadcn registry; `make dist` adds it to an app with the real command."""

from __future__ import annotations

import json

import httpx
from fastapi import FastAPI

from llmstream.fastapi import create_app, create_router
from llmstream.settings import Settings
from tests.support import HOOK

SETTINGS = Settings(demo="never")
TOKEN = "0123456789abcdef0123456789abcdef"


async def fetched(app: FastAPI, path: str) -> httpx.Response:
    """What the command gets, which sends no header of a browser's."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        return await client.get(path)


async def test_files_are_the_hook() -> None:
    """Each file of the hook is there, byte for byte, with the place that it goes to; a mounted router has it too."""
    app = FastAPI()
    app.include_router(create_router(settings=SETTINGS), prefix="/llm")
    item = (await fetched(app, "/llm/r/llmstream.json")).json()
    contents = {file["target"].removeprefix("~/src/llmstream/"): file["content"].encode() for file in item["files"]}
    assert {path.name: path.read_bytes() for path in HOOK.iterdir() if path.name != "package.json"} == contents


async def test_item_has_the_form_of_the_schema() -> None:
    """The fields are those of the registry's schema; the types are those that an app without Tailwind can add."""
    item = (await fetched(create_app(SETTINGS), "/r/llmstream.json")).json()
    assert "https://ui.shadcn.com/schema/registry-item.json" == item.pop("$schema")
    assert {"name", "type", "title", "description", "files", "docs"} == item.keys()
    assert ("llmstream", "registry:item") == (item["name"], item["type"])
    assert {("registry:file", "path type target content")} == {(f["type"], " ".join(f)) for f in item["files"]}
    assert "dependencies" not in json.loads((HOOK / "package.json").read_text())


async def test_token_in_the_address() -> None:
    """Behind a token the command gets nothing without it, and the item with the token in the address."""
    app = create_app(SETTINGS.change(token=TOKEN))
    assert 401 == (await fetched(app, "/r/llmstream.json")).status_code
    assert "llmstream" == (await fetched(app, f"/r/llmstream.json?token={TOKEN}")).json()["name"]
