"""Runs over HTTP."""

from __future__ import annotations

from tests.support.faultkit import Exchange, ask

SENTENCE = "The sky is blue because air scatters blue light more than red light."
FIELDS = {"code", "message", "retryable"}


def events(url: str, run: str, **headers: str) -> Exchange:
    """A run's events, to their end."""
    return ask(f"{url}/runs/{run}/events", headers={name.replace("_", "-"): value for name, value in headers.items()})
