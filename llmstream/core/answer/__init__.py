"""The answer as events: text, thinking, tool calls and sources."""
