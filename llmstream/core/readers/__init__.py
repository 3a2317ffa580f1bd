"""The readers of a running chain: which of its text is the answer."""
