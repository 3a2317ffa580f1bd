"""What several tests use, and no tests."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
HOOK = ROOT / "apps" / "react" / "src" / "llmstream"
