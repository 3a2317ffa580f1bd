import type { Connection } from "./client.js";
import {
  type DataEvent,
  type FinishReason,
  type Interrupt,
  isTerminal,
  type ReasoningEvent,
  type ResetEvent,
  type RunEvent,
  type Source,
  type Timings,
  type TokenEvent,
  type ToolResultEvent,
  type Usage,
  type Wait,
} from "./events.js";

/** The message that a part belongs to, in a run with several, and the name of the node or branch that says it. */
interface Spoken {
  message?: string;
  name?: string;
}

export type TextPart = Spoken & { kind: "text"; text: string };
export type ReasoningPart = Spoken & { kind: "reasoning"; text: string; open: boolean };
/** Here `name` is the tool's. */
export interface ToolPart {
  kind: "tool";
  message?: string;
  id: string;
  name: string;
  arguments?: Record<string, unknown>;
  output?: unknown;
  open: boolean;
}

/** A part of an answer, in the order in which the parts began. */
export type Part =
  | TextPart
  | ReasoningPart
  | ToolPart
  | { kind: "sources"; message?: string; sources: Source[] }
  | { kind: "data"; name: string; value: unknown };

/**
 * idle: nothing asked. starting: asked, no id yet. running. finished, failed, cancelled: over.
 * interrupted: over as well, and a person's answer is waited for: `resume` gives it.
 * lost: the connection did not come back; what came is kept, and `reconnect` goes on.
 */
export type Phase = "idle" | "starting" | "running" | "finished" | "failed" | "cancelled" | "interrupted" | "lost";

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
  /** The answer so far: the text parts joined, with a blank line between two messages. */
  text: string;
  model?: string;
  /** Where it was cut and continued: how long the text was. */
  seams?: readonly number[];
  /** What it waits for, until something comes. */
  waiting?: Wait & { detail: string };
  promptTruncated: boolean;
  reason?: FinishReason;
  usage?: Usage;
  timings?: Timings;
  cancelledBy?: string;
  /** A stop is on its way; in a phase that is over: the server could not be reached when it was stopped. */
  stopping?: true;
  /** What a person is asked for, where the phase is `interrupted`. */
  interrupts?: readonly Interrupt[];
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

/** Whether the run told its end; `lost` is none. */
export function isOver(state: RunState): boolean {
  return isTerminal({ type: state.phase });
}

/** A state that is being changed. */
type Draft = Omit<RunState, "parts"> & { parts: Part[] };

/** The state after these events. */
export function applyEvents(state: RunState, events: readonly (RunEvent | ResetEvent)[]): RunState {
  let draft: Draft = { ...state, parts: [...state.parts] };
  for (const event of events) {
    if (event.type === "reset") {
      draft = { ...IDLE, phase: "running", connection: state.connection, parts: [] };
      if (state.runId) draft.runId = state.runId;
    } else {
      draft.seq = event.seq;
      if (isTerminal(event)) draft.phase = event.type;
      apply(draft, event);
    }
  }
  draft.text = textOf(draft.parts);
  return isOver(draft) ? closed(draft) : draft;
}

/** The state with nothing growing any more. */
export function closed(state: RunState): RunState {
  const { waiting: _, stopping: _s, ...rest } = state;
  const parts = rest.parts.map((part) => ("open" in part ? { ...part, open: false } : part));
  return { ...rest, connection: "closed", parts };
}

function apply(draft: Draft, event: RunEvent): void {
  switch (event.type) {
    case "started":
      draft.parts = []; // what a continued answer has shown until now comes again
      draft.model = event.model;
      break;
    case "continued":
      draft.seams = [...(draft.seams ?? []), textOf(draft.parts).length];
      break;
    case "status":
      if (event.state === "prompt_truncated") draft.promptTruncated = true;
      else {
        const { type: _type, run: _run, seq: _seq, ...wait } = event;
        draft.waiting = { ...wait, detail: wait.detail ?? "" };
      }
      break;
    case "token":
    case "reasoning":
      grow(draft, event);
      break;
    case "tool_call": {
      const { id, name, arguments: given } = event;
      add(draft, { kind: "tool", ...messageOf(event), id, name, arguments: given, open: true });
      break;
    }
    case "tool_result":
      addResult(draft, event);
      break;
    case "data":
      addData(draft, event);
      break;
    case "withdrawn":
      draft.parts = draft.parts.filter((part) => messageOf(part).message !== event.message);
      break;
    case "finished":
      Object.assign(draft, { reason: event.reason, usage: event.usage, timings: event.timings });
      if (event.prompt_truncated) draft.promptTruncated = true;
      break;
    case "failed": {
      const { code, message, retryable } = event;
      draft.error = { code, message, retryable };
      break;
    }
    case "cancelled":
      draft.cancelledBy = event.by;
      break;
    case "interrupted":
      Object.assign(draft, { interrupts: event.interrupts, usage: event.usage, timings: event.timings });
      break;
  }
}

/** The message of an event or a part, as the fields of a part; nothing where the run has only one. */
function messageOf(of: object): { message?: string } {
  return "message" in of && typeof of.message === "string" ? { message: of.message } : {};
}

/** The text parts joined, with a blank line between two messages. */
function textOf(parts: readonly Part[]): string {
  let text = "";
  let before: string | undefined;
  for (const part of parts) {
    if (part.kind !== "text") continue;
    if (text !== "" && part.message !== before) text += "\n\n";
    text += part.text;
    before = part.message;
  }
  return text;
}

function grow(draft: Draft, event: TokenEvent | ReasoningEvent): void {
  const kind = event.type === "token" ? "text" : "reasoning";
  // Messages that come at the same time take turns: each goes on where it was.
  const at = draft.parts.findLastIndex((part) => messageOf(part).message === event.message);
  const last = draft.parts[at];
  delete draft.waiting;
  if (last?.kind === kind) {
    draft.parts[at] = { ...last, text: last.text + event.text };
    return;
  }
  const spoken = { ...messageOf(event), ...(event.name === undefined ? {} : { name: event.name }) };
  const { text } = event;
  add(draft, kind === "text" ? { kind, ...spoken, text } : { kind, ...spoken, text, open: true });
}

function add(draft: Draft, part: Part): void {
  delete draft.waiting;
  const at = draft.parts.findLastIndex((each) => messageOf(each).message === messageOf(part).message);
  const last = draft.parts[at];
  if (last?.kind === "reasoning") draft.parts[at] = { ...last, open: false };
  draft.parts.push(part);
}

function addResult(draft: Draft, { id, output }: ToolResultEvent): void {
  const at = draft.parts.findIndex((part) => part.kind === "tool" && part.id === id && part.open);
  const call = draft.parts[at];
  if (call?.kind === "tool") draft.parts[at] = { ...call, output, open: false };
  else add(draft, { kind: "tool", id, name: "tool", output, open: false });
}

/** What a chain emits beside its answer; an `output` is the whole so far, and takes the place of the one before. */
function addData(draft: Draft, event: DataEvent): void {
  const { name, value } = event;
  if (name === "sources" && Array.isArray(value)) {
    add(draft, { kind: "sources", ...messageOf(event), sources: value as Source[] });
    return;
  }
  const at = draft.parts.findIndex((part) => name === "output" && part.kind === "data" && part.name === name);
  if (at < 0) add(draft, { kind: "data", name, value });
  else draft.parts[at] = { kind: "data", name, value };
}
