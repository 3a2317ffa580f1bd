"""The settings of the moment, for what is made once and lives long."""

from __future__ import annotations

import os
from typing import Any

from llmstream.settings import VARIABLES, Settings, overrides

_OF_SERVER = ("upstream", "upstream_key", "ollama_url", "ollama_api_key", "model")
_READ = tuple(variable for name in _OF_SERVER for variable in VARIABLES[name])


class CurrentSettings:
    """The settings that were given; where none were, which server and model answer is what the environment says now.

    An app is often made when its module is imported, before a test or a notebook says where its Ollama is.
    seen: the settings when somebody looked last, for all that does not follow the environment: a look takes 5 µs.
    """

    def __init__(self, given: Settings | None) -> None:
        self._is_followed = given is None
        self._said = _said()
        self.seen = given or Settings()

    def get(self) -> Settings:
        """The settings now."""
        if self._is_followed and (said := _said()) != self._said:
            self._said, read = said, Settings()
            self.seen = self.seen.change(**{name: getattr(read, name) for name in _OF_SERVER})
        return self.seen

    def put(self, settings: Settings) -> None:
        """Takes these in their place, until the environment says something else."""
        self.seen = settings


def _said() -> list[Any]:
    """Everything that the server and the model are read from; most of it is not set, which is told fastest this way."""
    return [*((each, os.environ[each]) for each in _READ if each in os.environ), *overrides]
