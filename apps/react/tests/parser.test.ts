import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { RunEvent } from "../src/llmstream";
import { createParser } from "../src/llmstream/sse";
import { collect, hasty } from "./collect";
import { pieces, serve } from "./server";
import { answering, body, frame } from "./streams";

interface Case {
  name: string;
  text: string;
  messages: [event: string, data: string][];
}

/** The bytes of web-platform-tests' eventsource/format-*.any.js, which the Python decoder reads too. */
const CORPUS: Case[] = JSON.parse(
  readFileSync(new URL("../../../tests/data/wire/sse_corpus.json", import.meta.url)).toString(),
);
const ANSWER = answering("Hëllo", "\r\n\n  ", "日本 👩‍👩‍👧‍👦", "\u2028end");

const encoder = new TextEncoder();

function cutIn(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size));
}

/** The data in these chunks, by the decoder and the parser that the client reads a stream with. */
function parse(chunks: Uint8Array[]): string[] {
  const decoder = new TextDecoder();
  const parser = createParser();
  return chunks.flatMap((chunk) => parser(decoder.decode(chunk, { stream: true })));
}

describe("the corpus of web-platform-tests", () => {
  it.each(CORPUS)("$name", ({ text, messages }) => {
    // At a \r this parser waits for what follows, in case that is the \n of the same line end.
    const bytes = encoder.encode(text.endsWith("\r") ? `${text}\n` : text);
    const data = messages.map(([_, data]) => data);
    expect(parse([bytes])).toEqual(data);
    for (const size of [1, 2, 3, 7, 64]) expect(parse(cutIn(bytes, size)), `in pieces of ${size}`).toEqual(data);
    for (let cut = 0; cut <= bytes.length; cut += Math.max(1, Math.floor(bytes.length / 50)))
      expect(parse([bytes.subarray(0, cut), bytes.subarray(cut)]), `cut after ${cut}`).toEqual(data);
  });
});

/** The same events in every way that the standard lets a server write them. */
const WRITTEN: Record<string, string> = {
  "a byte order mark before it": `\ufeff${body(ANSWER)}`,
  "lines that end in CR": `${body(ANSWER).replaceAll("\n", "\r")}\n`,
  "line ends of every kind": `${ANSWER.map((event, at) =>
    frame(event).replaceAll("\n", ["\n", "\r\n", "\r"][at % 3] as string),
  ).join("")}\n`,
  "no space after the colon": body(ANSWER).replaceAll(/^(id|event|data): /gm, "$1:"),
  "data on several lines": ANSWER.map(onSeveralLines).join(""),
  "comments, some with a NUL": body(ANSWER).replaceAll("\n", `\n:\0\n:data: fail\n:${"x".repeat(2000)}\n`),
  "fields that nobody knows": body(ANSWER).replaceAll("\ndata:", "\nDATA: a\nda-ta: b\n data: c\ndata\0: d\nx\ndata:"),
  "no ids, no names, no opening": ANSWER.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""),
  "an id with a NUL, and one without a value": body(ANSWER).replaceAll("\nevent:", "\nid: a\0b\nid\nevent:"),
  "events without data between them": body(ANSWER).replaceAll("\n\n", "\n\nevent: nothing\nid: 9\n\n"),
};

function onSeveralLines(event: RunEvent): string {
  const lines = JSON.stringify(event, null, 1).split("\n");
  return `${lines.map((line) => `data: ${line}\n`).join("")}\n`;
}

describe("a stream is read to its end", () => {
  it.each(Object.entries(WRITTEN))("with %s", async (_, text) => {
    for (const size of [5, 4096]) {
      const served = await serve({ events: pieces(cutIn(encoder.encode(text), size)) });
      expect(await collect(hasty(served.url)), `in pieces of ${size}`).toEqual(ANSWER);
      expect(served.asked).toHaveLength(1);
    }
  });
});
