import type { Phase, RunState } from "./state.js";

/** Whether the answer was cut, and the server may be asked to go on with it; it says so where it can't. */
export function canContinue({ phase, reason, runId, text, error }: RunState): boolean {
  const cut = phase === "failed" || phase === "cancelled" || reason === "length";
  const refused = error?.code === "invalid_request" || error?.code === "run_not_found";
  return cut && !refused && runId !== undefined && text.trim() !== "";
}

const SAID: Partial<Record<Phase, string>> = {
  idle: "",
  finished: "The answer is complete.",
  cancelled: "The answer was stopped.",
  failed: "The answer is not complete.",
  lost: "The answer is not complete.",
  interrupted: "An answer from you is needed.",
};

/** What a screen reader should say: that an answer begins and how it ends, not every token. */
export function announcement({ phase, connection }: RunState): string {
  const active = connection === "reconnecting" ? "The connection was lost." : "The answer is being written.";
  return SAID[phase] ?? active;
}
