"""Ollama as llmstream uses it: bytes in, typed chunks out; which models there are."""
