"""LangChain's Agent Streaming Protocol, as `useStream` and `langgraph_sdk` speak it."""
