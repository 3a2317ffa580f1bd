import type { RunEvent } from "../src/llmstream";

/** The run of the tests. */
export const RUN = "0123456789abcdef0123456789abcdef";

type WithoutNumber<T> = T extends RunEvent ? Omit<T, "run" | "seq"> : never;
/** An event that the server has not numbered yet. */
export type Fact = WithoutNumber<RunEvent>;

export const STARTED: Fact = { type: "started", model: "tiny", created_at: 0.5 };
export const FINISHED: Fact = {
  type: "finished",
  reason: "stop",
  usage: { input_tokens: 1, output_tokens: 2 },
  timings: { total_s: 0.5 },
};
export const CANCELLED: Fact = { type: "cancelled", by: "stop" };
export const FAILED: Fact = { type: "failed", code: "upstream_truncated", message: "It broke off.", retryable: true };

/** What LangChain's HumanInTheLoopMiddleware asks before a mail is sent. */
export const APPROVAL = {
  action_requests: [{ name: "send_mail", args: { to: "ann@example.com" }, description: "A mail is to be sent." }],
  review_configs: [{ action_name: "send_mail", allowed_decisions: ["approve", "edit", "reject"] }],
};
export const INTERRUPTED: Fact = {
  type: "interrupted",
  interrupts: [{ id: "i1", value: APPROVAL }],
  usage: { output_tokens: 5 },
  timings: { total_s: 0.5 },
};

/** A token, of a message where the run has several, by whoever says it. */
export function token(text: string, message?: string, name?: string): Fact {
  return { type: "token", text, ...(message && { message }), ...(name && { name }) };
}

/** These facts as a run's events, numbered from 1. */
export function events(...facts: Fact[]): RunEvent[] {
  return facts.map((fact, at) => ({ ...fact, run: RUN, seq: at + 1 }) as RunEvent);
}

/** The events of a run that answers with these tokens. */
export function answering(...texts: string[]): RunEvent[] {
  return events(STARTED, ...texts.map((text) => token(text)), FINISHED);
}

/** One SSE message, as the server writes it. */
export function frame(event: RunEvent): string {
  return `id: ${event.run}-${event.seq}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}

/** The body of the stream of these events, for somebody who has those up to `after`. */
export function body(all: readonly RunEvent[], after = 0): string {
  const frames = all.filter((event) => event.seq > after).map(frame);
  return `: open\nretry: 1000\n${frames.join("")}`;
}
