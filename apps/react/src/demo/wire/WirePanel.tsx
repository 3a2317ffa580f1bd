import { useId, useState } from "react";
import { WayCard } from "./WayCard";
import { WAYS } from "./ways";

export function WirePanel() {
  const [question, setQuestion] = useState("What is a run?");
  const id = useId();
  return (
    <main className="wire">
      <div className="wire-head">
        <h2>The same question, over each way to connect</h2>
        <p>Each line is what arrived, with the milliseconds since the question was asked.</p>
        <label htmlFor={id}>Question</label>
        <input id={id} value={question} onChange={(event) => setQuestion(event.target.value)} />
      </div>
      <div className="ways">
        {WAYS.map((way) => (
          <WayCard key={way.title} way={way} question={question.trim()} />
        ))}
      </div>
    </main>
  );
}
