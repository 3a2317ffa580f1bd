import type { Client, RunRequest } from "./client.js";
import { LlmstreamError } from "./errors.js";
import { Flush } from "./flush.js";
import { applyEvents, IDLE, isActive, isOver, type RunState } from "./state.js";

/** One run at a time: start or watch it, follow it through cuts, stop it. Knows no framework; see `useRun`. */
export interface RunStore {
  subscribe(listener: () => void): () => void;
  /** Changes when something is to be drawn: at most once a frame, and at the end. */
  getSnapshot(): RunState;
  /** The state with every event that has come, drawn or not. */
  latest(): RunState;
  /** Start a run and follow it; resolves when it is over, and never rejects: see the state's `error`. */
  start(request: RunRequest): Promise<RunState>;
  /** Follow a run that was started elsewhere or before; `from` is a state to go on from. */
  watch(runId: string, from?: RunState): Promise<RunState>;
  /** End the run and free the model; what came is kept. */
  stop(): Promise<void>;
  /** After an interruption: go on with the same run. */
  reconnect(): Promise<RunState>;
  /** Ask the same again. */
  retry(): Promise<RunState>;
}

/** A store for runs on this client; it goes on from a state that was kept, as soon as somebody subscribes. */
export function createRun(client: Client, from: RunState = IDLE): RunStore {
  const listeners = new Set<() => void>();
  let state = from;
  let shown = from;
  let request: RunRequest | undefined;
  let stopping = false;
  let attention = new AbortController(); // aborted while the run is not followed
  attention.abort();

  const flush = new Flush(() => {
    if (shown === state) return;
    shown = state;
    for (const listener of [...listeners]) listener();
  });

  function set(changes: Partial<RunState>): void {
    state = { ...state, ...changes };
    flush.now();
  }

  function fail(error: unknown): void {
    const known = error instanceof LlmstreamError ? error : new LlmstreamError("client", String(error));
    const { code, message, retryable } = known;
    const phase = code === "interrupted" ? "interrupted" : "failed";
    set({ ...applyEnd(state), phase, connection: "closed", error: { code, message, retryable } });
    if (phase === "interrupted") goOnWhenOnline(reconnect);
  }

  /** A new undertaking: what went before is not followed any more. */
  function begin(): AbortController {
    attention.abort();
    attention = new AbortController();
    stopping = false;
    return attention;
  }

  async function start(asked: RunRequest): Promise<RunState> {
    const mine = begin();
    request = { request_id: randomId(), ...asked };
    state = { ...IDLE, phase: "starting", connection: "connecting" };
    flush.now();
    try {
      const runId = await client.start(request);
      if (attention !== mine) {
        void client.stop(runId).catch(() => {}); // nobody wants it any more
        return state;
      }
      if (stopping) await client.stop(runId);
      set({ phase: "running", runId });
    } catch (error) {
      if (attention === mine) {
        if (stopping) set({ phase: "cancelled", connection: "closed", cancelledBy: "stop" });
        else fail(error);
      }
      return state;
    }
    // Who left while this was asked may be back.
    if (mine.signal.aborted && listeners.size > 0) attention = new AbortController();
    return await follow(attention);
  }

  function watch(runId: string, from: RunState = IDLE): Promise<RunState> {
    const mine = begin();
    request = undefined;
    const { error: _, ...kept } = from;
    state = { ...kept, phase: "running", connection: "connecting", runId };
    flush.now();
    return follow(mine, from);
  }

  async function follow(mine: AbortController, from: RunState = state): Promise<RunState> {
    const { runId = "", seq } = state;
    try {
      const onConnection = (connection: RunState["connection"]) => {
        if (attention === mine && state.connection !== connection) set({ connection });
      };
      for await (const batch of client.follow(runId, { after: seq, signal: mine.signal, onConnection })) {
        if (attention !== mine) break;
        state = applyEvents(state, batch);
        if (isActive(state)) flush.soon();
        else flush.now();
      }
      // The server has nothing more: for somebody who was told of the end before.
      if (attention === mine && !mine.signal.aborted && isActive(state)) {
        if (!isOver(from))
          throw new LlmstreamError("protocol", "The server has no end of this answer. Ask again.", true);
        state = from;
        flush.now();
      }
    } catch (error) {
      if (attention === mine) fail(error);
    }
    return state;
  }

  async function stop(): Promise<void> {
    const mine = attention;
    stopping = true;
    const { runId } = state;
    // Without an id, `start` sees to it when it has one.
    if (runId === undefined || !(isActive(state) || state.phase === "interrupted")) return;
    try {
      await client.stop(runId);
      // Nobody follows it: what the server has of it, and its end, are still to be fetched.
      if (attention === mine && state.phase === "interrupted") await reconnect();
    } catch {
      // It can't be told; when nobody follows it, it ends by itself.
      if (attention !== mine) return;
      mine.abort();
      set({ ...applyEnd(state), phase: "cancelled", connection: "closed", cancelledBy: "stop" });
    }
  }

  function reconnect(): Promise<RunState> {
    const { runId } = state;
    if (state.phase !== "interrupted" || runId === undefined) return Promise.resolve(state);
    const asked = request;
    const following = watch(runId, state);
    request = asked;
    return following;
  }

  function retry(): Promise<RunState> {
    if (request === undefined) return reconnect();
    const { request_id, ...asked } = request;
    // A request that may have got lost is sent again under its own key, which starts at most one run.
    return start(state.runId === undefined && request_id !== undefined ? request : asked);
  }

  function subscribe(listener: () => void): () => void {
    listeners.add(listener);
    if (attention.signal.aborted && isActive(state) && state.runId !== undefined) {
      attention = new AbortController();
      void follow(attention);
    }
    return () => {
      listeners.delete(listener);
      // Later, because React's StrictMode leaves and comes back at once.
      const left = attention;
      if (listeners.size === 0) setTimeout(() => listeners.size === 0 && left.abort(), 0);
    };
  }

  return { subscribe, getSnapshot: () => shown, latest: () => state, start, watch, stop, reconnect, retry };
}

/** The state with nothing growing any more. */
function applyEnd(state: RunState): RunState {
  const parts = state.parts.map((part) => ("open" in part && part.open ? { ...part, open: false } : part));
  const { waiting: _, ...rest } = state;
  return { ...rest, parts };
}

function goOnWhenOnline(reconnect: () => void): void {
  if (typeof window !== "undefined") window.addEventListener("online", reconnect, { once: true });
}

function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
