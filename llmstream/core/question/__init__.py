"""The question: what a client asks, as the chain's input."""
