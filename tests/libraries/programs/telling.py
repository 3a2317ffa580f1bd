"""What the programs of the libraries share: their arguments, a tool's answer, and how they tell what they found."""

import json
import sys
from collections.abc import Callable

# The addresses of two servers: one on a real Ollama with a tiny model, one on the demo Ollama with its faults.
REAL, DEMO = sys.argv[1:]
MODEL = "tiny-chat"
SKY = "What color is the sky?"
WEATHER = "What is the weather in Paris?"
DAY = "18 degrees and sunny"


def failure(ask: Callable[[], object]) -> str:
    """What a library says of a question that fails; a text without "failed: " where it takes it for an answer."""
    try:
        return f"no failure: {ask()}"
    except Exception as error:
        causes = [error]
        while cause := causes[-1].__cause__ or causes[-1].__context__:
            causes.append(cause)
        return f"failed: {' / '.join(str(each) for each in causes)}"


def tell(**found: object) -> None:
    """Print what was found."""
    json.dump(found, sys.stdout)
