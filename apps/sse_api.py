"""The HTTP API alone: `python apps/sse_api.py [PORT]`, then open http://127.0.0.1:8000/docs.

Where no Ollama answers, the demo does, and every page and the terminal say so.
"""

import sys

from llmstream.fastapi import create_app
from llmstream.server import Server

app = create_app()

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    Server(app, app.state.runs, port=port).run()
