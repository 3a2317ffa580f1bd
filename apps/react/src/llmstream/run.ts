import type { Client, RunRequest } from "./client.js";
import { forgotten, LlmstreamError } from "./errors.js";
import { createFlush } from "./flush.js";
import { canContinue } from "./phase.js";
import { applyEvents, closed, IDLE, isActive, isOver, type RunState } from "./state.js";

/** One run at a time: start or watch it, follow it through cuts, stop it. Knows no framework; see `useRun`. */
export interface RunStore {
  /** Be told of changes; while somebody is, a lost run goes on when the browser is online again. */
  subscribe(listener: () => void): () => void;
  /** Changes when something is to be drawn: at most once a frame, and at the end. */
  getSnapshot(): RunState;
  /** The state with every event that has come, drawn or not. */
  latest(): RunState;
  /** Start a run and follow it; resolves when it is over, and never rejects: see the state's `error`. */
  start(request: RunRequest): Promise<RunState>;
  /** Follow a run that was started elsewhere or before; `from` is a state to go on from. */
  watch(runId: string, from?: RunState): Promise<RunState>;
  /** End the run and free the model; what came is kept. At once, also where the server is away: it is told later. */
  stop(): Promise<void>;
  /** After the connection was lost: go on with the same run. */
  reconnect(): Promise<RunState>;
  /** Answer an interrupted run, by the ids of its interrupts: a new run on the same thread, asked as the last one. */
  resume(answers: Record<string, unknown>): Promise<RunState>;
  /** Go on with an answer that was cut: a new run, which begins with what there is. See `canContinue`. */
  continueRun(): Promise<RunState>;
  /** Ask the same again. */
  retry(): Promise<RunState>;
}

/** A store for runs on this client; it goes on from a state that was kept, as soon as somebody subscribes. */
export function createRun(client: Client, from: RunState = IDLE): RunStore {
  const listeners = new Set<() => void>();
  let state = from;
  let shown = from;
  let request: RunRequest | undefined; // what is asked again
  let epoch = 0; // counts the undertakings: what an earlier one still brings is dropped
  let following: AbortController | undefined;
  let left = true; // nobody looks any more, or yet: then the run is not followed
  let giveUp = () => {}; // ends the wait for the id of a run that was asked for

  const flush = createFlush(() => {
    if (shown === state) return;
    shown = state;
    for (const listener of [...listeners]) listener();
  });

  function set(next: RunState): void {
    state = next;
    flush.now();
  }

  function fail(error: unknown): void {
    const known = error instanceof LlmstreamError ? error : new LlmstreamError("client", String(error));
    const { code, message, retryable } = known;
    set({ ...closed(state), phase: code === "lost" ? "lost" : "failed", error: { code, message, retryable } });
  }

  /** A new undertaking, with what it may ask again: what went before is not followed any more. */
  function begin(asked?: RunRequest): number {
    following?.abort();
    request = asked;
    left = false;
    epoch += 1;
    return epoch;
  }

  async function start(asked: RunRequest): Promise<RunState> {
    const keyed = { request_id: randomId(), ...asked };
    return launch(keyed, IDLE, () => client.start(keyed));
  }

  function continueRun(): Promise<RunState> {
    const { runId, parts, text } = state;
    if (!canContinue(state) || runId === undefined) return Promise.resolve(state);
    return launch(request, { ...IDLE, parts, text }, () => client.continueRun(runId), state);
  }

  /** A new run, which is shown like this until it brings something; back: the state that stays where there is none. */
  async function launch(asked: RunRequest | undefined, first: RunState, post: () => Promise<string>, back?: RunState) {
    const mine = begin(asked);
    set({ ...first, phase: "starting", connection: "connecting" });
    const posted = post();
    const stopped = new Promise<string>((resolve) => {
      giveUp = () => {
        const { error: _, ...what } = back ?? state;
        epoch += 1;
        set({ ...closed(what), phase: "cancelled", cancelledBy: "stop" });
        resolve("");
      };
    });
    try {
      const runId = await Promise.race([posted, stopped]);
      if (mine !== epoch) {
        void endUnwanted(posted, mine + 1);
        return state;
      }
      set({ ...state, phase: "running", runId });
    } catch (error) {
      if (mine !== epoch) return state;
      state = back ?? state;
      fail(error);
      return state;
    }
    return await follow();
  }

  /** Ends a run that nobody wants any more as soon as it has an id; says so where the server can't be told. */
  async function endUnwanted(posted: Promise<string>, since: number): Promise<void> {
    const away = () => {
      if (since === epoch && isOver(state)) set({ ...state, stopping: true });
    };
    await posted
      .then((runId) => client.stop(runId, away))
      .catch((error) => error instanceof LlmstreamError && error.code === "unreachable" && away());
  }

  function watch(runId: string, from: RunState = IDLE): Promise<RunState> {
    begin();
    return goOn(runId, from);
  }

  function goOn(runId: string, from: RunState): Promise<RunState> {
    const { error: _, ...kept } = from;
    set({ ...kept, phase: "running", connection: "connecting", runId });
    return follow(from);
  }

  async function follow(from = state): Promise<RunState> {
    if (left) return state;
    following = new AbortController();
    const { signal } = following;
    const { runId = "", seq } = state;
    try {
      const onConnection = (connection: RunState["connection"]) => {
        if (!signal.aborted && state.connection !== connection) set({ ...state, connection });
      };
      for await (const batch of client.follow(runId, { after: seq, signal, onConnection })) {
        if (signal.aborted) break;
        state = applyEvents(state, batch);
        if (isActive(state)) flush.soon();
        else flush.now();
      }
      if (!signal.aborted && isActive(state)) noMore(from);
    } catch (error) {
      if (!signal.aborted) fail(error);
    }
    return state;
  }

  /** The server has nothing more: for somebody who was told of the end before. */
  function noMore(from: RunState): void {
    if (isOver(from)) set(from);
    else fail(forgotten());
  }

  async function stop(): Promise<void> {
    const mine = epoch;
    // A server that is slow to begin is told when it does.
    if (state.phase === "starting") return giveUp();
    if (!(isActive(state) || state.phase === "lost")) return;
    set({ ...state, stopping: true });
    if (state.runId !== undefined) await tell(state.runId, mine);
    // Nobody follows it: what the server has of it, and its end, are still to be fetched.
    if (mine === epoch) await reconnect();
  }

  /** Tells the server to end a run. While it is away the answer ends here; when nobody follows a run, it ends, too. */
  async function tell(runId: string, mine: number): Promise<void> {
    const end = () => {
      if (mine !== epoch || isOver(state)) return;
      following?.abort();
      set({ ...closed(state), phase: "cancelled", cancelledBy: "stop", stopping: true });
    };
    await client.stop(runId, end).catch(end);
  }

  function reconnect(): Promise<RunState> {
    const { phase, runId } = state;
    if (phase !== "lost" || runId === undefined) return Promise.resolve(state);
    begin(request);
    return goOn(runId, state);
  }

  function resume(answers: Record<string, unknown>): Promise<RunState> {
    if (state.phase !== "interrupted") return Promise.resolve(state);
    // Without what was asked: the thread has it.
    const { question: _, messages: _m, context: _c, request_id: _r, ...same } = request ?? {};
    return start({ ...same, resume: answers });
  }

  function retry(): Promise<RunState> {
    if (request === undefined) return reconnect();
    const { request_id, ...asked } = request;
    // A request that may have got lost is sent again under its own key, which starts at most one run.
    const lost = state.phase === "failed" && state.runId === undefined && request_id !== undefined;
    return start(lost ? request : asked);
  }

  function subscribe(listener: () => void): () => void {
    listeners.add(listener);
    if (listeners.size === 1) globalThis.window?.addEventListener("online", reconnect);
    if (left) {
      left = false;
      if (isActive(state) && state.runId !== undefined) void follow();
    }
    return () => {
      if (!listeners.delete(listener) || listeners.size > 0) return;
      globalThis.window?.removeEventListener("online", reconnect);
      const mine = epoch;
      // Later, because React's StrictMode leaves and comes back at once.
      setTimeout(() => listeners.size === 0 && mine === epoch && leave(), 0);
    };
  }

  function leave(): void {
    left = true;
    following?.abort();
  }

  return {
    subscribe,
    getSnapshot: () => shown,
    latest: () => state,
    start,
    watch,
    stop,
    reconnect,
    resume,
    retry,
    continueRun,
  };
}

export function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
