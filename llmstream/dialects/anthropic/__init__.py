"""Anthropic's Messages, as its own clients and Claude Code speak it."""
