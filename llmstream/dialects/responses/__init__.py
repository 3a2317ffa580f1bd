"""OpenAI's Responses, as Codex, its Agents SDK and the AI SDK speak it."""
