"""Runs: generations with an id, which outlive the connection that started them."""
