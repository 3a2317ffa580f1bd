"""Everything in one app: `python apps/all_in_one.py [PORT]`, then open http://127.0.0.1:8000/docs and /gradio.

The API and the chat page share their runs: an answer that was asked for in one can be followed in the other.
"""

import sys

from llmstream.fastapi import create_app
from llmstream.gradio import create_chat, mount_chat
from llmstream.server import Server

app = create_app()
mount_chat(app, create_chat(runs=app.state.runs, notice=lambda: app.state.fallback.notice), path="/gradio")

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    Server(app, app.state.runs, port=port).run()
