import { memo } from "react";
import { isActive, type Part, type RunState, type Source } from "../llmstream";
import { CopyButton } from "./CopyButton";
import { Icon } from "./Icon";
import { isSafe, Markdown } from "./Markdown";
import { Sentence } from "./Sentence";
import { Elapsed, statsLine } from "./stats";

interface Props {
  run: RunState;
  onRetry?: (() => void) | undefined;
  onReconnect?: () => void;
}

export const Answer = memo(function Answer({ run, onRetry, onReconnect }: Props) {
  const active = isActive(run);
  // Under what still grows stands nothing that would be pushed down.
  return (
    <article className="answer" aria-label="Answer" aria-busy={active}>
      {run.parts.map((part, at) => (
        // The parts only ever grow at the end.
        <PartView key={at} part={part} growing={active && at === run.parts.length - 1} />
      ))}
      <State run={run} />
      <footer>
        {active ? null : <span className="stats">{statsLine(run)}</span>}
        {run.text !== "" && !active ? <CopyButton text={run.text} label="Copy answer" /> : null}
        {!active && onRetry ? (
          <button type="button" onClick={onRetry}>
            <Icon name="again" />
            Retry
          </button>
        ) : null}
        {run.phase === "lost" && onReconnect ? (
          <button type="button" className="main" onClick={onReconnect}>
            Reconnect
          </button>
        ) : null}
      </footer>
    </article>
  );
});

function PartView({ part, growing }: { part: Part; growing: boolean }) {
  switch (part.kind) {
    case "text":
      return <Markdown text={part.text} growing={growing} />;
    case "reasoning":
      return (
        <details className="aside">
          <summary>{part.open ? "Thinking …" : "Thoughts"}</summary>
          <p className="plain">{part.text}</p>
        </details>
      );
    case "tool":
      return (
        <details className="aside">
          <summary>
            Tool: {part.name}
            {part.open ? " …" : ""}
          </summary>
          {part.arguments === undefined ? null : <Json value={part.arguments} />}
          {part.output === undefined ? null : <Json value={part.output} />}
        </details>
      );
    case "sources":
      return <Sources sources={part.sources} />;
    case "data":
      return (
        <details className="aside">
          <summary>{part.name}</summary>
          <Json value={part.value} />
        </details>
      );
  }
}

function Json({ value }: { value: unknown }) {
  return <pre>{typeof value === "string" ? value : JSON.stringify(value, null, 2)}</pre>;
}

function Sources({ sources }: { sources: Source[] }) {
  return (
    <details className="aside">
      <summary>Sources ({sources.length})</summary>
      <ol>
        {sources.map(({ title, url, excerpt }, at) => (
          <li key={at}>
            {isSafe(url) ? (
              <a href={url} target="_blank" rel="noopener noreferrer">
                {title || url}
              </a>
            ) : (
              (title ?? url)
            )}
            {excerpt ? <blockquote>{excerpt}</blockquote> : null}
          </li>
        ))}
      </ol>
    </details>
  );
}

/** What a person should know of an answer that is not simply complete. */
function State({ run }: { run: RunState }) {
  if (run.connection === "reconnecting") return <p className="state">The connection was lost. Reconnecting …</p>;
  if (run.phase === "starting" || (run.phase === "running" && run.parts.length === 0)) {
    return (
      <p className="state waiting">
        {run.waiting?.detail || (run.model ? `Waiting for ${run.model}` : "Connecting")}
        <Elapsed />
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
    const left = run.cancelledBy === "left";
    return (
      <p className="state">
        {left ? "Stopped, because the connection was away for longer than the server waits." : "Stopped here."}
      </p>
    );
  }
  if (run.phase === "finished" && run.parts.length === 0) return <p className="state">The model answered nothing.</p>;
  if (run.reason === "length") return <p className="state">Cut here, at the length limit.</p>;
  return null;
}
