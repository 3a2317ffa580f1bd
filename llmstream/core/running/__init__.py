"""A run of a chain as LangChain tells of it: callbacks, errors, silence, and what is left behind at its end."""
