"""A program that runs the Python which is its argument, as ``python -c`` does."""

from __future__ import annotations

import sys

code = sys.argv.pop()
sys.argv = ["-c"]
exec(compile(code, "<string>", "exec"), globals())
