import { createParser } from "eventsource-parser";
import { createFlush } from "../../llmstream/flush";

/** One line of a wire log; `at` is in milliseconds since the question was asked. */
export interface Row {
  at: number;
  kind: "request" | "response" | "message" | "note";
  text: string;
  detail?: string;
}

export interface WireState {
  rows: readonly Row[];
  /** What a page that appends what it gets would show. */
  answer: string;
  busy: boolean;
}

const EMPTY: WireState = { rows: [], answer: "", busy: false };

/** What one way to connect has seen, drawn once a frame. */
export interface WireLog {
  subscribe(listener: () => void): () => void;
  getSnapshot(): WireState;
  /** Begin anew with this; nothing happens while something is under way. */
  watch(ask: (signal: AbortSignal) => Promise<void>): Promise<void>;
  /** End what is under way. */
  stop(): void;
  /** Cut the connection that is open, as a lost network would. */
  cut(): void;
  /** Write a line down. */
  add(kind: Row["kind"], text: string, detail?: string): void;
  /** A piece of the answer has come. */
  append(piece: string): void;
  /** `fetch`, with its requests, responses and SSE messages written down, and a connection that can be cut. */
  fetch: typeof fetch;
}

export function createWireLog(): WireLog {
  const listeners = new Set<() => void>();
  let state = EMPTY;
  let shown = EMPTY;
  let began = 0;
  let asking: AbortController | undefined;
  let cutOpen: (() => void) | undefined;

  const flush = createFlush(() => {
    shown = state;
    for (const listener of listeners) listener();
  });

  async function watch(ask: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (state.busy) return;
    const mine = new AbortController();
    asking = mine;
    began = performance.now();
    state = { ...EMPTY, busy: true };
    flush.now();
    try {
      await ask(mine.signal);
    } catch (error) {
      if (!mine.signal.aborted) add("note", error instanceof Error ? error.message : String(error));
    }
    cutOpen = undefined;
    state = { ...state, busy: false };
    flush.now();
  }

  function add(kind: Row["kind"], text: string, detail?: string): void {
    const row: Row = { at: performance.now() - began, kind, text };
    if (detail !== undefined) row.detail = detail;
    state = { ...state, rows: [...state.rows, row] };
    flush.soon();
  }

  function append(piece: string): void {
    state = { ...state, answer: state.answer + piece };
    flush.soon();
  }

  const watchedFetch: typeof fetch = async (input, init) => {
    add("request", ...described(input, init));
    const abort = new AbortController();
    init?.signal?.addEventListener("abort", () => abort.abort());
    if (init?.signal?.aborted) abort.abort();
    const response = await fetch(input, { ...init, signal: abort.signal });
    const type = response.headers.get("content-type") ?? "";
    add("response", `${response.status} ${type}`);
    if (response.body === null || !type.startsWith("text/event-stream")) return response;
    return new Response(response.body.pipeThrough(cuttable(abort)).pipeThrough(written()), response);
  };

  /** Bytes as they are, until they are cut. */
  function cuttable(abort: AbortController): TransformStream<Uint8Array, Uint8Array> {
    return new TransformStream({
      start: (controller) => {
        cutOpen = () => {
          add("note", "the connection was cut");
          cutOpen = undefined;
          controller.error(new TypeError("network error"));
          abort.abort();
        };
      },
    });
  }

  /** Bytes as they are, with the messages in them written down. */
  function written(): TransformStream<Uint8Array, Uint8Array> {
    const decoder = new TextDecoder();
    const parser = createParser({
      onEvent: ({ id, event, data }) => add("message", data, named(id, event)),
      onComment: (comment) => add("note", `: ${comment.trim()}`),
    });
    return new TransformStream({
      transform: (chunk, controller) => {
        parser.feed(decoder.decode(chunk, { stream: true }));
        controller.enqueue(chunk);
      },
      flush: () => add("note", "the server ended the stream"),
    });
  }

  return {
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    getSnapshot: () => shown,
    watch,
    stop: () => asking?.abort(),
    cut: () => cutOpen?.(),
    add,
    append,
    fetch: watchedFetch,
  };
}

/** A message's id and name, those that it has. */
export function named(id: string | undefined, event: string | undefined): string {
  return [id, event].filter(Boolean).join(" · ");
}

/** A request's method and path, and what else it says. */
function described(input: RequestInfo | URL, init: RequestInit | undefined): [text: string, detail?: string] {
  const path = new URL(String(input instanceof Request ? input.url : input), location.href);
  const last = new Headers(init?.headers).get("last-event-id");
  const detail = [init?.body, last && `Last-Event-ID: ${last}`].filter(Boolean).join("\n");
  const text = `${init?.method ?? "GET"} ${path.pathname}${path.search}`;
  return detail === "" ? [text] : [text, detail];
}
