import type { Connection } from "./client.js";
import type { FinishReason, ResetEvent, RunEvent, RunStatus, Source, Timings, Usage } from "./events.js";

/** A part of an answer, in the order in which the parts came. */
export type Part =
  | { kind: "text"; text: string }
  | { kind: "reasoning"; text: string; open: boolean }
  | { kind: "tool"; id: string; name: string; arguments?: Record<string, unknown>; output?: unknown; open: boolean }
  | { kind: "sources"; sources: Source[] }
  | { kind: "data"; name: string; value: unknown };

/**
 * idle: nothing asked. starting: asked, no id yet. running. finished, failed, cancelled: over.
 * interrupted: the connection was lost and did not come back; what came is kept, and `reconnect` goes on.
 */
export type Phase = "idle" | "starting" | "running" | "finished" | "failed" | "cancelled" | "interrupted";

export interface Failure {
  code: string;
  message: string;
  retryable: boolean;
}

/** A run as it is now; never changed in place. */
export interface RunState {
  phase: Phase;
  connection: Connection | "closed";
  runId?: string;
  /** The number of the last event that is in here. */
  seq: number;
  parts: readonly Part[];
  /** The answer so far: the text parts joined. */
  text: string;
  model?: string;
  /** What it waits for, until something comes. */
  waiting?: { state: RunStatus; detail: string; position?: number };
  promptTruncated: boolean;
  reason?: FinishReason;
  usage?: Usage;
  timings?: Timings;
  cancelledBy?: string;
  error?: Failure;
}

export const IDLE: RunState = {
  phase: "idle",
  connection: "closed",
  seq: 0,
  parts: [],
  text: "",
  promptTruncated: false,
};

/** Whether the answer may still grow by itself. */
export function isActive(state: RunState): boolean {
  return state.phase === "starting" || state.phase === "running";
}

/** Whether the run told its end; `interrupted` is none. */
export function isOver(state: RunState): boolean {
  return state.phase === "finished" || state.phase === "failed" || state.phase === "cancelled";
}

/** What a screen reader should say: that an answer begins and how it ends, not every token. */
export function announcement(state: RunState): string {
  switch (state.phase) {
    case "idle":
      return "";
    case "finished":
      return "The answer is complete.";
    case "cancelled":
      return "The answer was stopped.";
    case "failed":
    case "interrupted":
      return "The answer is not complete.";
    default:
      return state.connection === "reconnecting" ? "The connection was lost." : "The answer is being written.";
  }
}

/** The state after these events. */
export function applyEvents(state: RunState, events: readonly (RunEvent | ResetEvent)[]): RunState {
  let next = { ...state, parts: [...state.parts] };
  for (const event of events) {
    if (event.type === "reset") {
      next = { ...IDLE, phase: "running", connection: state.connection, parts: [] };
      if (state.runId) next.runId = state.runId;
    } else {
      next.seq = event.seq;
      apply(next, next.parts, event);
    }
  }
  return next;
}

function apply(next: RunState, parts: Part[], event: RunEvent): void {
  switch (event.type) {
    case "started":
      next.model = event.model;
      break;
    case "status":
      if (event.state === "prompt_truncated") next.promptTruncated = true;
      else {
        next.waiting = { state: event.state, detail: event.detail ?? "" };
        if (event.position) next.waiting.position = event.position;
      }
      break;
    case "token":
      next.text += event.text;
      grow(next, parts, "text", event.text);
      break;
    case "reasoning":
      grow(next, parts, "reasoning", event.text);
      break;
    case "tool_call":
      add(next, parts, { kind: "tool", id: event.id, name: event.name, arguments: event.arguments, open: true });
      break;
    case "tool_result": {
      const at = parts.findIndex((part) => part.kind === "tool" && part.id === event.id && part.open);
      const call = parts[at];
      if (call?.kind === "tool") parts[at] = { ...call, output: event.output, open: false };
      else add(next, parts, { kind: "tool", id: event.id, name: "tool", output: event.output, open: false });
      break;
    }
    case "data":
      if (event.name === "sources" && Array.isArray(event.value)) {
        add(next, parts, { kind: "sources", sources: event.value as Source[] });
      } else addData(next, parts, event.name, event.value);
      break;
    case "finished":
      Object.assign(next, { reason: event.reason, usage: event.usage, timings: event.timings });
      if (event.prompt_truncated) next.promptTruncated = true;
      end(next, parts, "finished");
      break;
    case "failed":
      next.error = { code: event.code, message: event.message, retryable: event.retryable };
      end(next, parts, "failed");
      break;
    case "cancelled":
      next.cancelledBy = event.by;
      end(next, parts, "cancelled");
      break;
  }
}

function grow(next: RunState, parts: Part[], kind: "text" | "reasoning", text: string): void {
  const last = parts.at(-1);
  if (last?.kind === kind) parts[parts.length - 1] = { ...last, text: last.text + text };
  else add(next, parts, kind === "text" ? { kind, text } : { kind, text, open: true });
}

function add(next: RunState, parts: Part[], part: Part): void {
  delete next.waiting;
  const last = parts.at(-1);
  if (last?.kind === "reasoning") parts[parts.length - 1] = { ...last, open: false };
  parts.push(part);
}

/** What a chain emits beside its answer; an `output` is the whole so far, and takes the place of the one before. */
function addData(next: RunState, parts: Part[], name: string, value: unknown): void {
  const before = name === "output" ? parts.findIndex((part) => part.kind === "data" && part.name === name) : -1;
  if (before < 0) add(next, parts, { kind: "data", name, value });
  else parts[before] = { kind: "data", name, value };
}

function end(next: RunState, parts: Part[], phase: Phase): void {
  next.phase = phase;
  next.connection = "closed";
  delete next.waiting;
  parts.forEach((part, at) => {
    if ("open" in part && part.open) parts[at] = { ...part, open: false };
  });
}
