"""The default chain, prompt → model, and the models that stream through the strict reader."""

from llmstream.chain.chat_model import ChatOllama, StrictChatOllama
from llmstream.chain.default import aopen_chain, open_chain

__all__ = ["ChatOllama", "StrictChatOllama", "aopen_chain", "open_chain"]
