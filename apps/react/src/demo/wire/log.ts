import { createParser } from "eventsource-parser";
import { Flush } from "../../llmstream/flush";

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

export const EMPTY: WireState = { rows: [], answer: "", busy: false };

/** What one way to connect has seen, drawn once a frame. */
export class WireLog {
  #state = EMPTY;
  #shown = EMPTY;
  #began = 0;
  #listeners = new Set<() => void>();
  #flush = new Flush(() => {
    this.#shown = this.#state;
    for (const listener of this.#listeners) listener();
  });
  /** Cuts the connection that is open, as a lost network would; undefined where none is. */
  cut: (() => void) | undefined;

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  getSnapshot = (): WireState => this.#shown;

  /** Begin anew with this; nothing happens while something is under way. */
  async watch(ask: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (this.#state.busy) return;
    const mine = new AbortController();
    this.stop = () => mine.abort();
    this.#began = performance.now();
    this.#state = { ...EMPTY, busy: true };
    this.#flush.now();
    try {
      await ask(mine.signal);
    } catch (error) {
      if (!mine.signal.aborted) this.add("note", error instanceof Error ? error.message : String(error));
    }
    this.cut = undefined;
    this.#state = { ...this.#state, busy: false };
    this.#flush.now();
  }

  stop = (): void => {};

  add(kind: Row["kind"], text: string, detail?: string): void {
    const row: Row = { at: performance.now() - this.#began, kind, text };
    if (detail !== undefined) row.detail = detail;
    this.#state = { ...this.#state, rows: [...this.#state.rows, row] };
    this.#flush.soon();
  }

  append(piece: string): void {
    this.#state = { ...this.#state, answer: this.#state.answer + piece };
    this.#flush.soon();
  }

  /** `fetch`, with its requests, responses and SSE messages written down, and a connection that can be cut. */
  fetch: typeof fetch = async (input, init) => {
    const headers = new Headers(init?.headers);
    const last = headers.get("last-event-id");
    const path = new URL(String(input instanceof Request ? input.url : input), location.href);
    this.add(
      "request",
      `${init?.method ?? "GET"} ${path.pathname}${path.search}`,
      [init?.body, last && `Last-Event-ID: ${last}`].filter(Boolean).join("\n") || undefined,
    );
    const abort = new AbortController();
    init?.signal?.addEventListener("abort", () => abort.abort());
    if (init?.signal?.aborted) abort.abort();
    const response = await fetch(input, { ...init, signal: abort.signal });
    const type = response.headers.get("content-type") ?? "";
    this.add("response", `${response.status} ${type}`);
    if (response.body === null || !type.startsWith("text/event-stream")) return response;
    const decoder = new TextDecoder();
    const parser = createParser({
      onEvent: ({ id, event, data }) => this.add("message", data, [id, event].filter(Boolean).join(" · ")),
      onComment: (comment) => this.add("note", `: ${comment.trim()}`),
    });
    const watched = response.body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        start: (controller) => {
          this.cut = () => {
            this.add("note", "the connection was cut");
            this.cut = undefined;
            controller.error(new TypeError("network error"));
            abort.abort();
          };
        },
        transform: (chunk, controller) => {
          parser.feed(decoder.decode(chunk, { stream: true }));
          controller.enqueue(chunk);
        },
        flush: () => this.add("note", "the server ended the stream"),
      }),
    );
    return new Response(watched, response);
  };
}
