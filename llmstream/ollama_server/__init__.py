"""Ollama's HTTP API as an ASGI app over a `Backend`; the demo Ollama and our own dialect are its two backends."""
