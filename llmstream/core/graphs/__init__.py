"""LangGraph: a graph's answer, state, threads and pauses."""
