import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import type { RunEvent } from "../src/llmstream";
import { isTerminal } from "../src/llmstream/events";
import { body, CANCELLED, type Fact, frame, RUN } from "./streams";

/** A request that came. */
export interface Asked {
  method: string;
  /** "start", "events", "stop" or "continue". */
  what: string;
  run: string;
  after: number;
  headers: IncomingMessage["headers"];
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into what they sent
  body: any;
  /** Whether the client went away before the answer was complete. */
  left: boolean;
}

export type Answer = (response: ServerResponse, asked: Asked) => void | Promise<void>;

/** What to answer: the nth request with the nth, and those after it with the last. */
export type Answers = Answer | Answer[];

export interface Routes {
  start?: Answers;
  events?: Answers;
  stop?: Answers;
  continue?: Answers;
}

export interface Served {
  url: string;
  asked: Asked[];
  /** The requests for one thing. */
  of(what: string): Asked[];
  /** Everybody's connection is cut, and nobody listens there any more, until it comes back. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
}

/** A real HTTP server on a free port, until the test ends. */
export async function serve(routes: Routes): Promise<Served> {
  const known = { start: created(), stop: status(202), ...routes };
  const asked: Asked[] = [];
  const of = (what: string) => asked.filter((each) => each.what === what);
  const server = createServer(async (request, response) => {
    const each = await read(request);
    asked.push(each);
    response.on("close", () => {
      each.left = !response.writableFinished;
    });
    const answers = [known[each.what as keyof Routes] ?? status(404)].flat();
    const answer = answers[Math.min(of(each.what).length, answers.length) - 1];
    await answer?.(response, each);
  });
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  const goAway = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  await listen(0);
  onTestFinished(goAway);
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, asked, of, goAway, comeBack: () => listen(port) };
}

async function read(request: IncomingMessage): Promise<Asked> {
  const { pathname, searchParams } = new URL(request.url ?? "", "http://localhost");
  const [, , run = "", what = "start"] = pathname.split("/");
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return {
    method: request.method ?? "",
    what,
    run,
    after: Number(searchParams.get("after") ?? 0),
    headers: request.headers,
    body: text === "" ? undefined : JSON.parse(text),
    left: false,
  };
}

export function status(code: number, json?: unknown, headers: Record<string, string> = {}): Answer {
  return (response) => {
    response.writeHead(code, { ...headers, ...(json === undefined ? {} : { "Content-Type": "application/json" }) });
    response.end(json === undefined ? undefined : JSON.stringify(json));
  };
}

export function created(run = RUN): Answer {
  return status(201, { run_id: run, events_url: `/runs/${run}/events`, stop_url: `/runs/${run}/stop` });
}

/** A run that the server does not refuse, but fails to say anything about. */
export const hangUp: Answer = (response) => void response.socket?.destroy();

function open(response: ServerResponse): void {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.flushHeaders();
}

/** A stream with these bytes and a clean end. */
export function stream(bytes: string | Uint8Array): Answer {
  return pieces([bytes]);
}

/** A stream of these pieces, each an HTTP chunk of its own, and a clean end. */
export function pieces(chunks: Iterable<string | Uint8Array>): Answer {
  return async (response) => {
    open(response);
    for (const chunk of chunks) await write(response, chunk);
    response.end();
  };
}

/** A stream that is cut after these bytes. */
export function cut(bytes: string | Uint8Array): Answer {
  return async (response) => {
    open(response);
    if (bytes.length > 0) await write(response, bytes);
    response.socket?.destroy();
  };
}

/** A stream that never ends, and says no more than this. */
export function stuck(bytes: string | Uint8Array = ""): Answer {
  return async (response) => {
    open(response);
    if (bytes.length > 0) await write(response, bytes);
  };
}

function write(response: ServerResponse, chunk: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => response.write(chunk, () => resolve()));
}

/** A run as the server keeps it: everybody gets all events after their own last one, and those that come. */
export class LiveRun {
  readonly log: RunEvent[] = [];
  #watching = new Set<ServerResponse>();

  constructor(readonly run = RUN) {}

  /** The answers for it. */
  routes(): Required<Omit<Routes, "continue">> {
    return { start: created(this.run), events: this.events, stop: this.stop };
  }

  get ended(): boolean {
    return isTerminal(this.log.at(-1) ?? { type: "" });
  }

  /** How many are watching. */
  get watching(): number {
    return this.#watching.size;
  }

  add(...facts: Fact[]): void {
    for (const fact of facts) {
      const event = { ...fact, run: this.run, seq: this.log.length + 1 } as RunEvent;
      this.log.push(event);
      for (const response of this.#watching) response.write(frame(event));
    }
    if (this.ended) for (const response of this.#watching) response.end();
  }

  /** The network goes: everybody's connection is cut. */
  cut(): void {
    for (const response of this.#watching) response.socket?.destroy();
  }

  events: Answer = (response, { after }) => {
    if (this.ended && after === this.log.length) return status(204)(response, {} as Asked);
    open(response);
    response.write(body(this.log, after));
    if (this.ended) response.end();
    else this.#watching.add(response);
    response.on("close", () => this.#watching.delete(response));
  };

  stop: Answer = (response, asked) => {
    const code = this.ended ? 204 : 202;
    if (!this.ended) this.add(CANCELLED);
    return status(code)(response, asked);
  };
}
