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

export type StartedEvent = Numbered & { type: "started"; model: string; created_at: number };
export type StatusEvent = Numbered & { type: "status"; state: RunStatus; detail?: string; position?: number };
export type ReasoningEvent = Numbered & { type: "reasoning"; text: string };
export type TokenEvent = Numbered & { type: "token"; text: string };
export type ToolCallEvent = Numbered & {
  type: "tool_call";
  id: string;
  name: string;
  arguments: Record<string, unknown>;
};
export type ToolResultEvent = Numbered & { type: "tool_result"; id: string; output: unknown };
export type DataEvent = Numbered & { type: "data"; name: string; value: unknown };
export type FinishedEvent = Numbered & {
  type: "finished";
  reason: FinishReason;
  usage: Usage;
  timings: Timings;
  prompt_truncated?: boolean;
};
export type FailedEvent = Numbered & { type: "failed"; code: string; message: string; retryable: boolean };
export type CancelledEvent = Numbered & { type: "cancelled"; by: "stop" | "left" | "replaced" };

export type RunEvent =
  | StartedEvent
  | StatusEvent
  | ReasoningEvent
  | TokenEvent
  | ToolCallEvent
  | ToolResultEvent
  | DataEvent
  | FinishedEvent
  | FailedEvent
  | CancelledEvent;

/** To this client alone, and without a number: what it has can't be continued; it begins anew. */
export interface ResetEvent {
  type: "reset";
  run: string;
  reason: string;
}

export function isTerminal(event: { type: string }): event is FinishedEvent | FailedEvent | CancelledEvent {
  return event.type === "finished" || event.type === "failed" || event.type === "cancelled";
}
