import { isActive, type RunState, whyIncomplete } from "../llmstream";
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
  const why = whyIncomplete(run);
  if (run.phase === "failed" || run.phase === "lost") {
    return (
      <p className="state failed" role="alert">
        <strong>{run.text === "" ? "No answer." : "This answer is not complete."}</strong> <Sentence text={why} />
      </p>
    );
  }
  if (why !== "") return <p className="state">{why}</p>;
  if (run.phase === "finished" && !run.parts.some(({ kind }) => kind === "text" || kind === "data"))
    return <p className="state">The model answered nothing.</p>;
  return null;
}
