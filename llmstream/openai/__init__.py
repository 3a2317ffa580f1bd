"""OpenAI-compatible servers (vLLM, llama.cpp's, LM Studio, Ollama's `/v1`): server-sent events in, typed chunks out."""
