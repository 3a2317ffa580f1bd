import { Fragment, memo } from "react";
import {
  type Answers,
  canContinue,
  type Interrupt,
  isActive,
  type Part,
  type RunState,
  type Source,
} from "../llmstream";
import { CopyButton } from "./CopyButton";
import { Icon } from "./Icon";
import { Interrupts } from "./Interrupts";
import { Json } from "./Json";
import { isSafe, Markdown } from "./Markdown";
import { State } from "./State";
import { statsLine } from "./stats";

interface Props {
  run: RunState;
  /** What an interrupted run was answered, of which this is the rest. */
  answers?: Answers | undefined;
  onRetry?: (() => void) | undefined;
  onReconnect?: () => void;
  onContinue?: (() => void) | undefined;
  onResume?: (answers: Answers) => void;
}

export const Answer = memo(function Answer({ run, answers, onRetry, onReconnect, onContinue, onResume }: Props) {
  const active = isActive(run);
  // Under what still grows stands nothing that would be pushed down.
  return (
    <article className="answer" aria-label="Answer" aria-busy={active}>
      {answers === undefined ? null : <Aside title="Your answer" value={answers} />}
      {run.parts.map((part, at) => (
        <Fragment key={at}>
          <Speaker part={part} before={run.parts[at - 1]} />
          <PartView part={part} growing={active && at === run.parts.length - 1} />
        </Fragment>
      ))}
      <State run={run} />
      {run.interrupts === undefined ? null : <Asked interrupts={run.interrupts} onResume={onResume} />}
      <footer>
        {active ? null : <span className="stats">{statsLine(run)}</span>}
        {run.text !== "" && !active ? <CopyButton text={run.text} label="Copy answer" /> : null}
        {onContinue && canContinue(run) ? (
          <button type="button" onClick={onContinue}>
            <Icon name="onward" />
            Continue
          </button>
        ) : null}
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

/** Who says this part, where it begins a message of somebody's. */
function Speaker({ part, before }: { part: Part; before: Part | undefined }) {
  if (part.kind !== "text" && part.kind !== "reasoning") return null;
  const begins = before === undefined || !("message" in before) || before.message !== part.message;
  return begins && part.name ? <p className="speaker">{part.name}</p> : null;
}

function Asked({ interrupts, onResume }: { interrupts: readonly Interrupt[]; onResume: Props["onResume"] }) {
  if (onResume) return <Interrupts interrupts={interrupts} onResume={onResume} />;
  return interrupts.map(({ id, value }) => <Aside key={id} title="What was asked" value={value} />);
}

function Aside({ title, value }: { title: string; value: unknown }) {
  return (
    <details className="aside">
      <summary>{title}</summary>
      <Json value={value} />
    </details>
  );
}

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
      return <Aside title={part.name} value={part.value} />;
  }
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
