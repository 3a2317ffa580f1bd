import { memo, useEffect, useId, useRef, useState, useSyncExternalStore } from "react";
import { type Row, WireLog } from "./log";
import { hideAndShow, type Way } from "./ways";

export function WayCard({ way, question }: { way: Way; question: string }) {
  const [log] = useState(() => new WireLog());
  const [stay, setStay] = useState(false);
  const { rows, answer, busy } = useSyncExternalStore(log.subscribe, log.getSnapshot);
  const running = useRef<AbortController>(undefined);
  const list = useRef<HTMLOListElement>(null);
  const title = useId();

  useEffect(() => () => running.current?.abort(), []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: with each new row
  useEffect(() => {
    if (list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [rows.length]);

  async function ask(): Promise<void> {
    const mine = new AbortController();
    running.current = mine;
    log.begin();
    try {
      await way.ask(question, log, mine.signal, stay);
    } catch (error) {
      if (!mine.signal.aborted) log.add("note", error instanceof Error ? error.message : String(error));
    }
    log.end();
  }

  return (
    <section className="way" aria-labelledby={title}>
      <h3 id={title}>{way.title}</h3>
      <p>{way.about}</p>
      <div className="tools">
        {busy ? (
          <button type="button" className="main" onClick={() => running.current?.abort()}>
            Stop
          </button>
        ) : (
          <button type="button" className="main" disabled={question === ""} onClick={() => void ask()}>
            Ask
          </button>
        )}
        {way.can.includes("cut") ? (
          <button type="button" disabled={!busy} onClick={() => log.cut?.()}>
            Cut the connection
          </button>
        ) : null}
        {way.can.includes("hide") ? (
          <button type="button" disabled={!busy} onClick={hideAndShow}>
            Hide and show the tab
          </button>
        ) : null}
        {way.can.includes("stay") ? (
          <label>
            <input type="checkbox" checked={stay} onChange={(event) => setStay(event.target.checked)} />
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
      <p className="plain shown">{answer}</p>
    </section>
  );
}

const ARROWS: Record<Row["kind"], string> = { request: "→", response: "←", message: "·", note: "!" };

const WireRow = memo(function WireRow({ row }: { row: Row }) {
  return (
    <li className={row.kind}>
      <span className="at">{Math.round(row.at)}</span>
      <span aria-hidden>{ARROWS[row.kind]}</span>
      <span>
        {row.detail === undefined ? null : <small>{row.detail}</small>}
        <code>{row.text.replaceAll("\n", "↵")}</code>
      </span>
    </li>
  );
});
