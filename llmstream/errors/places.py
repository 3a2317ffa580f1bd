"""The places where this code may run: what a person can do about an error depends on them."""

from __future__ import annotations

import os
import sys


def in_kernel() -> bool:
    """True if this code runs in a notebook's kernel, where an output can be changed after it was shown."""
    shell_of = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return shell_of is not None and getattr(shell_of(), "kernel", None) is not None


def in_test() -> bool:
    """True if this code runs in a test of pytest's; not so a process that the test has started."""
    return "pytest" in sys.modules and "PYTEST_CURRENT_TEST" in os.environ
