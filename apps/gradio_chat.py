"""The Gradio chat alone: `python apps/gradio_chat.py`, then open http://127.0.0.1:7860.

Where no Ollama answers, the demo does, and the page and the terminal say so.
"""

from llmstream.gradio import create_chat

if __name__ == "__main__":
    create_chat().launch()
