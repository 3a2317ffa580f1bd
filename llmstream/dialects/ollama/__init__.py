"""Ollama's own API over any chain."""
