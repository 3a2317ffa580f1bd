import { useState } from "react";

import { Answer } from "./Answer";

export function NoStream({ api }: { api: string }) {
  const [question, setQuestion] = useState("");
  const [answer, setAnswer] = useState("");
  const [state, setState] = useState("");

  const ask = async () => {
    setState("waiting");
    const response = await fetch(`${api}/nostream`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ question }),
    });
    const body = (await response.json()) as { answer?: string; message?: string };
    if (response.ok) {
      setAnswer(body.answer ?? "");
      setState("done");
    } else {
      setState(`failed: HTTP ${response.status}`);
    }
  };

  return <Answer {...{ question, setQuestion, ask, answer, state }} />;
}
