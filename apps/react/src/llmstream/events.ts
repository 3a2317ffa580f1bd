/** The events of a run, as the server's native dialect writes them. Unknown types are ignored by the client. */

export type FinishReason = "stop" | "length" | "tool_calls" | "content_filter" | "other";
export type RunStatus = "queued" | "loading" | "waiting" | "prompt_truncated";

export interface Usage {
  input_tokens?: number;
  output_tokens?: number;
}

/** In seconds from the start of the run; the speed of the answer in tokens per second. */
export interface Timings {
  time_to_first_token_s?: number;
  total_s?: number;
  load_s?: number;
  tokens_per_s?: number;
}

export interface Source {
  title?: string;
  url?: string;
  excerpt?: string;
}

interface Numbered {
  run: string;
  /** 1, 2, 3 … without gaps. */
  seq: number;
}

/** Which message of a run with several this belongs to, and the name of the node or the branch that says it. */
interface Spoken {
  message?: string;
  name?: string;
}

/** What a run waits for; how long and how far is a guess, and comes after a while, about once a second. */
export interface Wait {
  state: RunStatus;
  detail?: string;
  /** In the queue; 1 is next. */
  position?: number;
  /** Seconds until the answer begins, or the place in the queue is there. */
  eta_s?: number;
  /** From 0 to 0.95. */
  progress?: number;
  /** Of the prompt. */
  tokens?: number;
}

/** What a graph waits for a person with; the answer to it goes under its `id`. */
export interface Interrupt {
  id: string;
  value: unknown;
}

export type StartedEvent = Numbered & { type: "started"; model: string; created_at: number };
export type StatusEvent = Numbered & { type: "status" } & Wait;
export type ReasoningEvent = Numbered & Spoken & { type: "reasoning"; text: string };
export type TokenEvent = Numbered & Spoken & { type: "token"; text: string };
/** Here `name` is the tool's. */
export type ToolCallEvent = Numbered & {
  type: "tool_call";
  message?: string;
  id: string;
  name: string;
  arguments: Record<string, unknown>;
};
export type ToolResultEvent = Numbered & { type: "tool_result"; id: string; output: unknown };
export type DataEvent = Numbered & { type: "data"; name: string; value: unknown; message?: string };
/** A seam: what stands before it was said by the run `of`, which was cut. */
export type ContinuedEvent = Numbered & { type: "continued"; of: string };
/** A message that was shown as a draft is taken back: its text, its reasoning, its tool calls and its sources. */
export type WithdrawnEvent = Numbered & { type: "withdrawn"; message: string };
export type FinishedEvent = Numbered & {
  type: "finished";
  reason: FinishReason;
  usage: Usage;
  timings: Timings;
  prompt_truncated?: boolean;
};
export type FailedEvent = Numbered & { type: "failed"; code: string; message: string; retryable: boolean };
export type CancelledEvent = Numbered & { type: "cancelled"; by: "stop" | "left" | "replaced" };

/** The graph waits for a person; the answers to all of its interrupts start a new run on the same thread. */
export type InterruptedEvent = Numbered & {
  type: "interrupted";
  interrupts: Interrupt[];
  usage: Usage;
  timings: Timings;
};

export type RunEvent =
  | StartedEvent
  | StatusEvent
  | ReasoningEvent
  | TokenEvent
  | ToolCallEvent
  | ToolResultEvent
  | DataEvent
  | ContinuedEvent
  | WithdrawnEvent
  | FinishedEvent
  | FailedEvent
  | CancelledEvent
  | InterruptedEvent;

/** To this client alone, and without a number: what it has can't be continued; it begins anew. */
export interface ResetEvent {
  type: "reset";
  run: string;
  reason: string;
}

export type TerminalEvent = FinishedEvent | FailedEvent | CancelledEvent | InterruptedEvent;

const TERMINAL: readonly string[] = [
  "finished",
  "failed",
  "cancelled",
  "interrupted",
] satisfies TerminalEvent["type"][];

/** Whether nothing comes after this event. */
export function isTerminal(event: { type: string }): event is TerminalEvent {
  return TERMINAL.includes(event.type);
}
