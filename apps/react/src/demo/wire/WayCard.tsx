import { memo, useEffect, useId, useRef, useSyncExternalStore } from "react";
import type { Row, WireLog } from "./log";
import { hideAndShow, type Way } from "./ways";

interface Props {
  way: Way;
  log: WireLog;
  onAsk: (() => void) | undefined;
  /** Whether to forget to close what should be closed. */
  stay: boolean;
  onStay: (stay: boolean) => void;
}

export function WayCard({ way, log, onAsk, stay, onStay }: Props) {
  const { rows, answer, busy } = useSyncExternalStore(log.subscribe, log.getSnapshot);
  const list = useRef<HTMLOListElement>(null);
  const title = useId();

  // biome-ignore lint/correctness/useExhaustiveDependencies: with each new row
  useEffect(() => {
    if (list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [rows.length]);

  return (
    <section className="way" aria-labelledby={title}>
      <h3 id={title}>{way.title}</h3>
      <p className="about">{way.about}</p>
      <div className="tools">
        {busy ? (
          <button type="button" className="main" onClick={log.stop}>
            Stop
          </button>
        ) : (
          <button type="button" className="main" disabled={onAsk === undefined} onClick={onAsk}>
            Ask
          </button>
        )}
        {way.can.includes("cut") ? (
          <button type="button" disabled={!busy} onClick={log.cut}>
            Cut the connection
          </button>
        ) : null}
        {way.can.includes("hide") ? (
          <button type="button" disabled={!busy} onClick={hideAndShow} aria-label="Hide and show the tab">
            Hide and show
          </button>
        ) : null}
        {way.can.includes("stay") ? (
          <label>
            <input type="checkbox" checked={stay} onChange={(event) => onStay(event.target.checked)} />
            forget to close it
          </label>
        ) : null}
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <ol className="rows" ref={list} tabIndex={0} aria-label={`What ${way.title} saw`}>
        {rows.map((row, at) => (
          // Rows are only ever added at the end.
          <WireRow key={at} row={row} />
        ))}
      </ol>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: this one scrolls too */}
      <section className="plain shown" tabIndex={0} aria-label={`The answer by ${way.title}`}>
        {answer}
      </section>
    </section>
  );
}

const ARROWS: Record<Row["kind"], string> = { request: "→", response: "←", message: "·", note: "!" };

const WireRow = memo(function WireRow({ row }: { row: Row }) {
  const detail = row.detail === undefined ? null : <small>{short(row.detail)}</small>;
  return (
    <li className={row.kind}>
      <span className="at">{Math.round(row.at)}</span>
      <span aria-hidden>{ARROWS[row.kind]}</span>
      <span>
        {row.kind === "message" ? detail : null}
        <code>{short(row.text).replaceAll("\n", "↵")}</code>
        {row.kind === "message" ? null : detail}
      </span>
    </li>
  );
});

/** With run ids, which fill a line and say nothing, cut to their ends. */
function short(text: string): string {
  return text.replace(/\b([0-9a-f]{4})[0-9a-f]{24}([0-9a-f]{4})\b/g, "$1…$2");
}
