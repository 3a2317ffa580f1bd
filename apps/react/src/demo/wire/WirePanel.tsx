import { useEffect, useId, useState, useSyncExternalStore } from "react";
import { createWireLog, type WireLog } from "./log";
import { WayCard } from "./WayCard";
import { WAYS, type Way } from "./ways";

/** A way to connect, and what it has seen. */
interface Watched {
  way: Way;
  log: WireLog;
}

export function WirePanel() {
  const [question, setQuestion] = useState("What is a run?");
  const [all] = useState<Watched[]>(() => WAYS.map((way) => ({ way, log: createWireLog() })));
  const id = useId();
  const [stay, setStay] = useState(false);
  const asked = question.trim();

  function ask({ way, log }: Watched): void {
    void log.watch((signal) => way.ask(asked, log, signal, stay));
  }

  useEffect(
    () => () => {
      for (const { log } of all) log.stop();
    },
    [all],
  );

  return (
    <main className="wire">
      <form
        className="wire-head"
        onSubmit={(event) => {
          event.preventDefault();
          if (asked !== "") all.forEach(ask);
        }}
      >
        <h2>The same question, over each way to connect</h2>
        <p>Each line is what arrived, with the milliseconds since the question was asked.</p>
        <label htmlFor={id}>Question</label>
        <div className="row">
          <input id={id} value={question} onChange={(event) => setQuestion(event.target.value)} />
          <AskAll all={all} able={asked !== ""} />
        </div>
      </form>
      <div className="ways">
        {all.map((each) => (
          <WayCard
            key={each.way.title}
            {...each}
            onAsk={asked === "" ? undefined : () => ask(each)}
            stay={stay}
            onStay={setStay}
          />
        ))}
      </div>
    </main>
  );
}

function AskAll({ all, able }: { all: Watched[]; able: boolean }) {
  const [listen] = useState(() => (listener: () => void) => {
    const leave = all.map(({ log }) => log.subscribe(listener));
    return () => {
      for (const each of leave) each();
    };
  });
  const busy = useSyncExternalStore(listen, () => all.some(({ log }) => log.getSnapshot().busy));
  return (
    <button type="submit" className="main" disabled={busy || !able}>
      Ask all
    </button>
  );
}
