"""How long an import and the command's help take."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.report import table, target

_BARE = "pass"
_IMPORT = "import llmstream"
_HELP = ["-m", "llmstream", "--help"]
_FRAMEWORKS = ("fastapi", "gradio", "IPython", "langchain_core", "aiohttp")


def seconds(arguments: list[str]) -> float:
    """Wall time of the interpreter with these arguments."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, timeout=60)
    return time.perf_counter() - begun


def imported() -> list[str]:
    """Which of the large packages `import llmstream` brings in."""
    code = f"import sys, llmstream; print(*[name for name in {_FRAMEWORKS!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    return answer.stdout.split()


def run(*, quick: bool) -> None:
    """Best of several starts; what the interpreter itself takes is told, and not taken off."""
    repeats = 5 if quick else 20
    cases = {"python -c pass": ["-c", _BARE], "import llmstream": ["-c", _IMPORT], "llmstream --help": _HELP}
    best_ms = {name: min(seconds(arguments) for _ in range(repeats)) * 1e3 for name, arguments in cases.items()}
    table("Start", ("", "ms"), list(best_ms.items()))
    print(f"\nimport llmstream brings in: {', '.join(imported()) or 'none of ' + ', '.join(_FRAMEWORKS)}")
    target("import llmstream", best_ms["import llmstream"], 150, "ms")
    target("llmstream --help", best_ms["llmstream --help"], 300, "ms")
