"""The parser of the command line, which names the nearest option or command for one that there is not."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose complaint about a misspelt name ends with the nearest one; its commands have such parsers, too."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """The arguments; one that is unknown is told here, by the parser that knows the options of its command."""
        from llmstream.errors.nearest import nearest

        known, rest = super().parse_known_args(args, namespace)
        if rest:
            near = nearest(rest[0].partition("=")[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(rest)}{near and '.' + near}")
        return known, rest

    def error(self, message: str) -> NoReturn:
        """Ends the program with the message, and with the nearest of the choices that it lists."""
        from llmstream.errors.nearest import nearest

        found = re.fullmatch(r"(?s).*: invalid choice: '(.*)' \(choose from (.*)\)", message)
        near = nearest(found[1], re.findall(r"[\w-]+", found[2])) if found else ""
        super().error(f"{message}{near and '.' + near}")
