import { errorOf, forgotten, hint, LlmstreamError, WRONG_ADDRESS } from "./errors.js";
import { isTerminal, type ResetEvent, type RunEvent } from "./events.js";
import { pause } from "./pause.js";
import { messagesIn } from "./sse.js";

/** A text or an image of a message. */
export type ContentPart = { type: "text"; text: string } | { type: "image_url"; image_url: { url: string } };

export interface Message {
  role: "user" | "assistant" | "system";
  content: string | ContentPart[];
}

/** What `POST /runs` takes: a question, messages or the answers to an interrupted run, and how to answer. */
export interface RunRequest {
  question?: string;
  messages?: Message[];
  /** The answers that a run on this thread waits for, by the ids of its interrupts. */
  resume?: Record<string, unknown>;
  /** The name of the conversation, for a chain that remembers it. */
  thread?: string;
  context?: string;
  /** Values beside the question, by name, for a server whose `prepare` reads them; another one refuses them. */
  inputs?: Record<string, unknown>;
  model?: string;
  thinking?: boolean | "minimal" | "low" | "medium" | "high" | "xhigh" | "max";
  options?: Record<string, unknown>;
  /** Starts at most one run, however often it is sent. */
  request_id?: string;
  /** What happens to the run when nobody has watched it for the server's grace time. */
  on_leave?: "cancel" | "continue";
}

export interface ClientOptions {
  /** Where the router is mounted; a relative address is taken from the page's. */
  url?: string;
  /** Sent with every request, for example `{ Authorization: "Bearer …" }`. */
  headers?: Record<string, string>;
  fetch?: typeof fetch;
  /** How many connections in a row may bring nothing before following gives up. */
  attempts?: number;
  /** The longest pause between two connections, in milliseconds. */
  maxPauseMs?: number;
  /** A connection that is silent for so long is dead, in milliseconds; the server's heartbeat comes every 15 s. */
  silenceMs?: number;
  /** A stop that is not answered for so long did not arrive, in milliseconds. */
  stopMs?: number;
}

export type Connection = "connecting" | "open" | "reconnecting";

export interface FollowOptions {
  /** The number of the last event that has been applied. */
  after?: number;
  signal?: AbortSignal;
  onConnection?: (connection: Connection) => void;
}

export interface Client {
  /**
   * Start a run; its id. Sent once: a request that gets lost rejects with code `unreachable`, and the same
   * `request_id` may then be sent again without starting a second run.
   */
  start(request: RunRequest): Promise<string>;
  /**
   * The events of a run in batches, each event once and in order, through any number of cuts, up to the terminal
   * one. A batch counts as applied when the next one is asked for. Rejects with what the server refused with, or
   * with code `lost` when it stayed away; then following again goes on from the last number.
   */
  follow(run: string, options?: FollowOptions): AsyncGenerator<(RunEvent | ResetEvent)[], void, void>;
  /** Start a run that begins with what a run said that was cut, and goes on from there; its id. Sent once, too. */
  continueRun(run: string): Promise<string>;
  /**
   * End a run and free the model; false where it had ended. A server that is away is told again when it is back, as
   * patiently as a run is followed; `onAway` is called at each try that fails.
   */
  stop(run: string, onAway?: () => void): Promise<boolean>;
}

/** What came at once: the events that are new, the number of the last of them, and how to go on after it. */
interface Received {
  batch: (RunEvent | ResetEvent)[];
  last: number;
  next: "read on" | "connect anew" | "nothing more";
}

const LOST = "The connection was lost and did not come back.";
// How long the end of a stream may be waited for, once its last event has come.
const REST_MS = 1000;
// What a proxy answers while the server behind it is being restarted, and what a busy server answers.
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

// A browser does not tell a server that is away from one that refuses the page.
const unreachable = () => {
  const why = hint("Is it running, and this page allowed (CORS)?");
  throw new LlmstreamError("unreachable", `The server can't be reached.${why}`, { retryable: true });
};

/** A client of an llmstream server. */
export function createClient(options: ClientOptions = {}): Client {
  const base = (options.url ?? ".").replace(/\/$/, "");
  const { headers = {}, attempts = 8, maxPauseMs = 8000, silenceMs = 45_000, stopMs = 5000 } = options;
  const request = options.fetch ?? ((input, init) => fetch(input, init));

  async function post(path: string, body?: RunRequest, signal: AbortSignal | null = null): Promise<Response> {
    const sent = body && { headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const what = { method: "POST", headers, signal, ...sent };
    const response = await request(`${base}/runs${path}`, what).catch(unreachable);
    if (!response.ok) throw await errorOf(response);
    return response;
  }

  async function startedBy(response: Response): Promise<string> {
    const { run_id } = (await response.json().catch(unreachable)) as { run_id?: unknown };
    if (typeof run_id === "string") return run_id;
    throw new LlmstreamError("protocol", `The server started no run.${hint(WRONG_ADDRESS)}`);
  }

  const start = async (body: RunRequest) => startedBy(await post("", body));
  const continueRun = async (run: string) => startedBy(await post(`/${run}/continue`));

  /** The pause behind so many failures; with jitter, so that a thousand pages do not come back in the same instant. */
  const pauseMs = (failures: number) => Math.min(maxPauseMs, 250 * 2 ** (failures - 1)) * (0.5 + Math.random() / 2);

  async function stop(run: string, onAway?: () => void): Promise<boolean> {
    for (let failures = 1; ; failures += 1) {
      try {
        return (await post(`/${run}/stop`, undefined, AbortSignal.timeout(stopMs))).status === 202;
      } catch (error) {
        const { retryable, retryAfterMs = 0 } = error as LlmstreamError;
        if (!retryable || failures > attempts) throw error;
        onAway?.();
        await pause(Math.max(retryAfterMs, pauseMs(failures)), undefined, true);
      }
    }
  }

  async function* follow(run: string, { after = 0, signal, onConnection }: FollowOptions = {}) {
    let failures = 0;
    let last = after;
    onConnection?.("connecting");
    while (!signal?.aborted) {
      let wait = 0;
      let ended = false;
      try {
        for await (const received of connection(run, last, signal, onConnection)) {
          ended = received.next === "nothing more";
          if (received.batch.length > 0) yield received.batch;
          if (received.last !== last) failures = 0;
          last = received.last;
        }
      } catch (error) {
        if (signal?.aborted || ended) return;
        if (error instanceof LlmstreamError) {
          if (!PASSING.has(error.status ?? 0)) throw error;
          wait = error.retryAfterMs ?? 0;
        }
      }
      if (ended) return;
      failures += 1;
      if (failures > attempts) throw new LlmstreamError("lost", LOST, { retryable: true });
      onConnection?.("reconnecting");
      await pause(Math.max(wait, pauseMs(failures)), signal, wait === 0);
    }
  }

  /** What one connection brings. Ends where it was cut; throws what the server refused with. */
  async function* connection(
    run: string,
    after: number,
    signal: AbortSignal | undefined,
    onConnection: FollowOptions["onConnection"],
  ): AsyncGenerator<Received, void, void> {
    const limit = limitOf(silenceMs, signal);
    try {
      const body = await open(run, after, limit.signal);
      if (body === null) return yield { batch: [], last: after, next: "nothing more" };
      onConnection?.("open");
      let received: Received = { batch: [], last: after, next: "read on" };
      for await (const messages of messagesIn(body, () => received.next === "read on" && limit.renew(silenceMs))) {
        // After the last event only its stream's end is waited for: then the browser can use the connection again.
        if (received.next === "nothing more") continue;
        received = accept(messages, run, received.last);
        if (received.next === "nothing more") limit.renew(REST_MS);
        yield received;
        if (received.next === "connect anew") return;
      }
    } finally {
      limit.end();
    }
  }

  /** The stream of the events after this one; null where there are no more. */
  async function open(run: string, after: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array> | null> {
    // `?after=` and not `Last-Event-ID`: a header would make a page of another origin ask twice.
    const url = `${base}/runs/${run}/events${after > 0 ? `?after=${after}` : ""}`;
    const response = await request(url, { headers, signal, cache: "no-store" });
    if (response.status === 204) return null;
    if (!response.ok) throw await errorOf(response);
    if (response.headers.get("content-type")?.startsWith("text/event-stream")) return response.body;
    throw new LlmstreamError("protocol", `The server sent no event stream.${hint(WRONG_ADDRESS)}`);
  }

  return { start, follow, continueRun, stop };
}

/** A signal that aborts with the given one, at the end, or when it has not been renewed for so long. */
function limitOf(firstMs: number, signal: AbortSignal | undefined) {
  const abort = new AbortController();
  const leave = () => abort.abort();
  let timer = setTimeout(leave, firstMs);
  signal?.addEventListener("abort", leave);
  return {
    signal: abort.signal,
    renew(ms: number): void {
      clearTimeout(timer);
      timer = setTimeout(leave, ms);
    },
    end(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", leave);
      leave();
    },
  };
}

/** The events in these messages that are new, up to the first that does not fit. */
function accept(messages: string[], run: string, after: number): Received {
  const batch: (RunEvent | ResetEvent)[] = [];
  let last = after;
  for (const data of messages) {
    const event = parse(data);
    if (event.type === "reset" && after > 0) return { batch: [event], last: 0, next: "connect anew" };
    if (event.type === "reset" || event.run !== run) throw forgotten();
    if (event.seq <= last) continue;
    if (event.seq !== last + 1) return { batch, last, next: "connect anew" };
    last = event.seq;
    batch.push(event);
    if (isTerminal(event)) return { batch, last, next: "nothing more" };
  }
  return { batch, last, next: "read on" };
}

function parse(data: string): RunEvent | ResetEvent {
  try {
    return JSON.parse(data) as RunEvent | ResetEvent;
  } catch {
    throw new LlmstreamError("protocol", "The server sent what is not JSON.");
  }
}
