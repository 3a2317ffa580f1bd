import type { FinishReason } from "./events.js";
import { isActive, type Phase, type RunState } from "./state.js";

/** Whether the answer was cut, and the server may be asked to go on with it; it says so where it can't. */
export function canContinue({ phase, reason, runId, text, error }: RunState): boolean {
  const cut = phase === "failed" || phase === "cancelled" || reason === "length";
  const refused = error?.code === "invalid_request" || error?.code === "run_not_found";
  return cut && !refused && runId !== undefined && text.trim() !== "";
}

const STOPPED: Record<string, string> = {
  left: "The answer was stopped: nobody was reading it.",
  replaced: "The answer was replaced by a newer question.",
};

const UNFINISHED: Partial<Record<FinishReason, string>> = {
  length: "The answer was cut at its length limit.",
  content_filter: "The answer was cut by a content filter.",
  tool_calls: "The model asks for a tool, and nothing here calls it.",
};

/** Why there is no whole answer, in a sentence for a person; empty while it comes, and where it is complete. */
export function whyIncomplete({ phase, reason, error, cancelledBy, stopping }: RunState): string {
  switch (phase) {
    case "failed":
    case "lost":
      return error?.message ?? "The answer is not complete.";
    case "cancelled":
      if (stopping) return "The answer was stopped while the server could not be reached.";
      return STOPPED[cancelledBy ?? ""] ?? "The answer was stopped.";
    case "interrupted":
      return "The answer waits for you.";
    default:
      return (reason && UNFINISHED[reason]) ?? "";
  }
}

const SAID: Partial<Record<Phase, string>> = {
  idle: "",
  failed: "The answer is not complete.",
  lost: "The answer is not complete.",
  interrupted: "An answer from you is needed.",
};

/** What a screen reader should say: that an answer begins and how it ends, not every token. */
export function announcement(run: RunState): string {
  if (!isActive(run)) return SAID[run.phase] ?? (whyIncomplete(run) || "The answer is complete.");
  return run.connection === "reconnecting" ? "The connection was lost." : "The answer is being written.";
}
