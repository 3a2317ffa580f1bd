"""Async to sync, push to pull, and a timer for silence."""

from llmstream.concurrency.background import ThreadPool, call, iterate, loop, questions, run, steps
from llmstream.concurrency.push_to_pull import AT_A_TIME, FULL, pulled
from llmstream.concurrency.watchdog import Watchdog

__all__ = [
    "AT_A_TIME",
    "FULL",
    "ThreadPool",
    "Watchdog",
    "call",
    "iterate",
    "loop",
    "pulled",
    "questions",
    "run",
    "steps",
]
