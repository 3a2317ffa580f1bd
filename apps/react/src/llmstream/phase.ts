import type { RunState } from "./state.js";

/** Whether the answer was cut, and the server may be asked to go on with it; it says so where it can't. */
export function canContinue({ phase, reason, runId, text, error }: RunState): boolean {
  const cut = phase === "failed" || phase === "cancelled" || reason === "length";
  const refused = error?.code === "invalid_request" || error?.code === "run_not_found";
  return cut && !refused && runId !== undefined && text.trim() !== "";
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
    case "lost":
      return "The answer is not complete.";
    case "interrupted":
      return "An answer from you is needed.";
    default:
      return state.connection === "reconnecting" ? "The connection was lost." : "The answer is being written.";
  }
}
