"""The demo Ollama: a small server speaking Ollama's protocol, for lack of an Ollama and for tests with faults."""

from llmstream.demo_ollama.activity import RequestRecord
from llmstream.demo_ollama.backend import Model
from llmstream.demo_ollama.server import DemoOllama

__all__ = ["DemoOllama", "Model", "RequestRecord"]
