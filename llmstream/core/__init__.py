"""The core: (chain, question) → events."""
