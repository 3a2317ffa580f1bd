"""The TypeScript types of the events, against the schema that the server makes of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmstream.http.schemas import typed_stream
from tests.support.react_app import APP, npm, run

Schema = dict[str, Any]

COMPARISON = """
import type { ResetEvent, RunEvent } from "./llmstream/events";

type Flat<T> = T extends object ? { [K in keyof T]: Flat<T[K]> } : T;
type Client = { [E in RunEvent | ResetEvent as E["type"]]: Flat<E> };
type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
type All = keyof Server | keyof Client;

export const equal: { [K in All]: K extends keyof Server & keyof Client ? Equal<Flat<Server[K]>, Client[K]> : false } =
"""


def events() -> dict[str, Schema]:
    """The schema of each event, by its type."""
    message = typed_stream()["content"]["text/event-stream"]["itemSchema"]
    streamed = message["properties"]["data"]["contentSchema"]["oneOf"]
    found: dict[str, Schema] = {schema["properties"]["type"]["enum"][0]: schema for schema in streamed}
    for kind, schema in found.items():
        numbers: Schema = {"run": {"type": "string"}} | ({} if kind == "reset" else {"seq": {"type": "integer"}})
        schema["properties"] = {name: each for name, each in schema["properties"].items() if name != "seq"} | numbers
        schema["required"] = [*schema["required"], *numbers]
    return found


def typescript(schema: Schema) -> str:
    """The type that a schema describes; a field that may be null is one that may be missing."""
    match schema:
        case {"enum": values}:
            return " | ".join(json.dumps(value) for value in values)
        case {"anyOf": choices}:
            return " | ".join(typescript(each) for each in choices if each != {"type": "null"})
        case {"type": "object", "properties": properties}:
            mark = {name: "" if name in schema["required"] else "?" for name in properties}
            return "{ " + "; ".join(f"{name}{mark[name]}: {typescript(properties[name])}" for name in properties) + " }"
        case {"type": "object"}:
            return "Record<string, unknown>"
        case {"type": "array"}:
            return f"({typescript(schema['items'])})[]"
        case {"type": "integer" | "number"}:
            return "number"
        case {"type": kind}:
            return str(kind)
        case _:
            return "unknown"


@pytest.mark.timeout(300)  # the first run installs the packages
def test_the_types_are_those_of_the_schema(tmp_path: Path) -> None:
    """Each event has the same fields of the same types in Python and in TypeScript, and there are no others."""
    npm()
    server = "\n".join(f"  {kind}: {typescript(schema)};" for kind, schema in events().items())
    expected = json.dumps(dict.fromkeys(events(), True))
    (tmp_path / "compared.ts").write_text(f"type Server = {{\n{server}\n}};\n{COMPARISON}{expected};\n")
    (tmp_path / "llmstream").symlink_to(APP / "src" / "llmstream")
    (tmp_path / "node_modules").symlink_to(APP / "node_modules")
    config = {"extends": str(APP / "tsconfig.json"), "include": ["compared.ts"]}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    tsc = APP / "node_modules" / "typescript" / "bin" / "tsc"
    status, said = run("node", str(tsc), "--project", str(tmp_path), timeout_s=120)
    assert status == 0, said
