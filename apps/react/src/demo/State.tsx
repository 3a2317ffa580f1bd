import { isActive, type RunState } from "../llmstream";
import { Sentence } from "./Sentence";
import { Elapsed } from "./stats";

/** What a person should know of an answer that is not simply complete. */
export function State({ run }: { run: RunState }) {
  if (run.stopping && isActive(run)) return <p className="state waiting">Stopping …</p>;
  if (run.connection === "reconnecting") return <p className="state">The connection was lost. Reconnecting …</p>;
  if (run.phase === "starting" || (run.phase === "running" && (run.parts.length === 0 || run.waiting !== undefined))) {
    return (
      <p className="state waiting">
        {run.waiting?.detail || (run.model ? `Waiting for ${run.model}` : "Connecting")}
        <Elapsed hidden={run.waiting?.eta_s !== undefined} />
        {run.waiting?.progress === undefined ? null : <progress value={run.waiting.progress} aria-label="The wait" />}
      </p>
    );
  }
  if (run.phase === "failed" || run.phase === "lost") {
    return (
      <p className="state failed" role="alert">
        <strong>{run.text === "" ? "No answer." : "This answer is not complete."}</strong>{" "}
        <Sentence text={run.error?.message ?? ""} />
      </p>
    );
  }
  if (run.phase === "cancelled") {
    return <p className="state">{stopped(run)}</p>;
  }
  if (run.phase === "interrupted") return <p className="state">It waits for your answer.</p>;
  if (run.phase === "finished" && run.parts.length === 0) return <p className="state">The model answered nothing.</p>;
  if (run.reason === "length") return <p className="state">Cut here, at the length limit.</p>;
  return null;
}

function stopped({ cancelledBy, stopping }: RunState): string {
  if (stopping) return "Stopped here, while the server could not be reached.";
  return cancelledBy === "left"
    ? "Stopped, because the connection was away for longer than the server waits."
    : "Stopped here.";
}
