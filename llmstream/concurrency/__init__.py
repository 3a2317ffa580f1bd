"""Async to sync, push to pull, a timer for silence, and a dict that stays small."""

from llmstream.concurrency.background import ThreadPool, call, iterate, loop, questions, run, steps
from llmstream.concurrency.newest import Newest
from llmstream.concurrency.push_to_pull import AT_A_TIME, FULL, pulled
from llmstream.concurrency.watchdog import Watchdog

__all__ = [
    "AT_A_TIME",
    "FULL",
    "Newest",
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
