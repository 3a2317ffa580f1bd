"""The demo Ollama: a small server speaking Ollama's protocol, for lack of an Ollama and for tests with faults."""

from llmstream.demo_ollama.activity import RequestRecord
from llmstream.demo_ollama.scripted_answers import Answers, Pause, Thought
from llmstream.demo_ollama.server import DemoOllama
from llmstream.ollama_server.backend import ChatRequest, Model, ToolCall

__all__ = ["Answers", "ChatRequest", "DemoOllama", "Model", "Pause", "RequestRecord", "Thought", "ToolCall"]
