"""Chains as they stand before a run: what they are made of, and copies of them that can be read."""
