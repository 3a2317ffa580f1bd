"""Other words that people use for what a heading of the documentation says, and words that say nothing."""

from __future__ import annotations

ALIASES: dict[str, dict[str, str]] = {
    "README.md": {
        "llmstream": "about llmstream overview introduction purpose library begin started first start server",
        "Install": "installation setup pip pypi package requirements dependencies python version",
        "Mount llmstream in your FastAPI app": (
            "include router endpoint existing enable cors prefix integrate create_router"
        ),
        "Stream to React": (
            "hook component frontend javascript typescript page website browser createChat fetch show page answer"
        ),
        "Your own chain": "custom work works langchain langgraph agent runnable bring prompt model",
        "In async code": "astream await asyncio generator python",
        "In a notebook": "jupyter lab ipynb notebooks",
        "In a terminal": "command line cli shell console ask chat doctor",
        "In your tests": "pytest fixture mock fake test demo_ollama script faults inject",
        "Settings": "environment variables configure configuration options change temperature system prompt",
        "Clients people already have": "protocols compatible other support speak",
        "Develop": "contribute license run",
    },
    "chains.md": {
        "Chains": "input variable given prompt receive history messages",
        "Retrieval, with sources": "rag retriever documents vector citations",
        "A conversation": "history chat earlier messages turns send image images picture photo context",
        "The strict model": "StrictChatOllama ChatOllama truncated",
        "Nothing lost in silence": (
            "prompt long context window num_ctx truncated thinking turn switch enable reasoning vision supports "
            "support tools complete middle crashes"
        ),
        "Which model": "answers chosen choose choice default pick select change use another",
    },
    "clients.md": {
        "AI SDK: `useChat`": "vercel hook next nextjs js",
        "assistant-ui": "assistant",
        "AG-UI and CopilotKit": "agui",
        "OpenAI": "compatible base_url openai python package sdk open webui librechat connect",
        "Ollama": "ollama run client python package protocol editor",
        "Any client of server-sent events": "EventSource eventsource parser httpx_sse library",
    },
    "deploy.md": {
        "All settings": "list every configuration timeout limit number concurrent default",
        "On a network": (
            "token password protect secure authentication login public expose internet host 421 users callers"
        ),
        "In an app of your own": "trusted host dns rebinding origin security",
        "Behind nginx": "put llmstream nginx proxy reverse buffering production deploy https prefix",
        "A model that answers nobody": "hang hangs stuck waiting never forever",
        "Six connections": "tabs browser limit http2 many",
        "Which server": "workers uvicorn gunicorn hypercorn processes multiple",
    },
    "gradio.md": {
        "The Gradio chat": "page launch interface make create build create_chat",
        "In your own app": "mount_chat mount gradio",
        "Private by default": "share history analytics privacy data public",
    },
    "http.md": {
        "HTTP: endpoints, events, errors": "routes api urls endpoint list difference between",
        "Server-sent events": "what SSE sse stream streaming",
        "A run request": "body fields json parameters send options",
        "Typed events": "event types kinds native protocol format token finished wire",
        "Plain-text events": "plain text sse done",
        "Resume": (
            "connection cut lost drops reconnect reconnects network breaks stream answer interrupted Last_Event_ID"
        ),
        "Errors": "error codes status retry retryable fails failure 404 429 502 503",
    },
    "notebook.md": {
        "Answers in a notebook": "jupyter show cell",
        "The magics": "magic llm percent",
        "A chat": "chat panel widget talk notebook",
        "Stop": "interrupt button stop cell notebook",
        "What is saved": "save saved output github nbconvert publish",
        "What works where": "colab vscode code jupyterlab works",
    },
    "performance.md": {
        "Performance": "fast speed benchmark slow overhead measure quick",
        "Time to the first token": "latency delay",
        "Many streams on one core": "scale users concurrent simultaneous throughput handle",
    },
    "testing.md": {
        "Answers of your own": "script scripts regex pattern callable tool call pause thought default",
        "An app of FastAPI": "TestClient fastapi test",
        "Async tests": "asyncio async pytest",
        "Faults": "fault models demo cut stall busy error inject",
        "Clients of OpenAI": "openai fixture demo",
    },
    "runs.md": {
        "Runs: follow, resume, stop": "run runs generation",
        "Start, lose the connection, come back": "curl reload",
        "Follow one run from two places, stop it from a third": (
            "stop stopping run generation cancel abort end one watch several people same"
        ),
        "Ask once, whatever the network does": "idempotency key asking avoid prevent twice fails duplicate retry",
        "From Python, in another process": "python client remote program Client",
        "When everybody has left": "leave leaves left closes tab background grace nobody watches continue",
        "When the server goes down": "shutdown restart sigterm dies crash deploy drain kill",
    },
}

# Headings that another one answers better: figures, and sections that only point to a page.
NO_ANSWERS = frozenset(
    {
        ("README.md", "A Gradio chat"),
        ("performance.md", "Start"),
        ("performance.md", "The parts"),
        ("performance.md", "Stopping"),
        ("performance.md", "The Gradio chat"),
        ("performance.md", "The notebook"),
        ("performance.md", "The React page"),
    }
)

_SAYING_NOTHING = """
a about an and any are as at be been but by can could did do does for from get give go had has have hello help her
here hey hi him his how i if in into is it its just know let like many may me might more most much must my need no
not of on or our out please say should add show so some tell than thank thanks that the their them then there these
they this to too up us use using want was we were what when where which who why will with would yes you your good
morning evening bye goodbye am im ok okay s t don doesn happen happens work works mean means explain way possible
"""
STOPWORDS = frozenset(_SAYING_NOTHING.split())
