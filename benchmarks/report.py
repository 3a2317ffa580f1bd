"""Tables, and whether a target was met."""

from __future__ import annotations

from collections.abc import Sequence


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table in Markdown, numbers with three significant digits."""
    print(f"\n### {title}\n", flush=True)
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" if number == 0 else "---:" for number in range(len(head))) + " |")
    for row in rows:
        print("| " + " | ".join(_cell(value) for value in row) + " |", flush=True)


def target(what: str, value: float, limit: float, unit: str, *, at_least: bool = False) -> None:
    """Print one figure beside its target."""
    met = value >= limit if at_least else value <= limit
    sign = "≥" if at_least else "≤"
    print(
        f"\n{'met' if met else 'MISSED'}: {what}: {_cell(value)} {unit} (target {sign} {_cell(limit)} {unit})",
        flush=True,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which this share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value else "0"
