"""The pages of the app: the chat, the API's documentation, both working offline."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

_ASSETS = Path(fastapi_offline.__file__).parent / "static"

# Swagger's page begins with a script of its own in the page, hence 'unsafe-inline'; nothing comes from elsewhere.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"
)

# Where the chat is once it has been built.
CHAT = Path(__file__).parents[1] / "page"

# The chat loads nothing from elsewhere, shows no picture from elsewhere, and holds no script of its own.
_CHAT_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "cache-control": "no-cache",
    "referrer-policy": "same-origin",
}

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>llmstream</title>
<p>The chat page is not there: it is built with Node. In a clone, install Node 20 and run <code>make page</code>.
<p>Everything else works: <a href="docs">the API and its documentation</a>."""

_CODE = re.compile(r"`([^`]*)`")

_BANNER = (
    '<div role="status" style="font: 15px/1.5 system-ui, sans-serif; background: #fff3cd; color: #4d3800; '
    'padding: 10px 20px; text-align: center">{}</div>'
)


def add_pages(app: FastAPI, notice: Callable[[], str | None]) -> None:
    """The chat at `/`, `/docs`, and what they need; `notice` is shown in `/docs` where there is one."""
    app.mount("/docs/assets", StaticFiles(directory=_ASSETS), name="docs-assets")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title="llmstream API",
            swagger_js_url="docs/assets/swagger-ui-bundle.js",
            swagger_css_url="docs/assets/swagger-ui.css",
            swagger_favicon_url="docs/assets/favicon.png",
        )
        text = bytes(page.body).decode()
        if (shown := notice()) is not None:
            banner = _BANNER.format(_CODE.sub(r"<code>\1</code>", html.escape(shown)))
            text = text.replace("<body>", f'<body style="margin: 0">{banner}', 1)
        return HTMLResponse(text, headers={"content-security-policy": _POLICY, "cache-control": "no-store"})

    async def home(request: Request) -> Response:
        page = CHAT / "index.html"
        return HTMLResponse(page.read_bytes() if page.is_file() else _NOT_BUILT, headers=_CHAT_HEADERS)

    app.add_route("/", home, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/assets", Assets(directory=CHAT / "assets", check_dir=False), name="chat-assets")


class Assets(StaticFiles):
    """The static files whose names change with their contents, so that browsers may keep them for ever."""

    async def check_config(self) -> None:
        """Takes a folder that is not there for an empty one: the chat may not be built, and a 404 says so."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response
