"""Runnable measurements: `python -m benchmarks`, with `--quick`, and `--only NAME`."""
