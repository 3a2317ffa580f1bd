import { useState } from "react";

import { Answer } from "./Answer";

interface StreamEvent {
  type: string;
  text?: string;
  message?: string;
}

/** The events in a piece of the stream, and the rest that is not complete yet. */
function parse(buffer: string): { events: StreamEvent[]; rest: string } {
  const blocks = buffer.split("\n\n");
  const rest = blocks.pop() ?? "";
  const lines = blocks.flatMap((block) => block.split("\n"));
  const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice("data: ".length));
  return { events: data.map((text) => JSON.parse(text) as StreamEvent), rest };
}

export function FetchReader({ api }: { api: string }) {
  const [question, setQuestion] = useState("");
  const [answer, setAnswer] = useState("");
  const [state, setState] = useState("");

  const show = (event: StreamEvent) => {
    if (event.type === "token") {
      setAnswer((prev) => prev + event.text);
    } else if (event.type === "finished") {
      setState("done");
    } else if (event.type === "failed") {
      setState(`failed: ${event.message}`);
    }
  };

  const ask = async () => {
    setAnswer("");
    setState("streaming");
    const response = await fetch(`${api}/stream`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ question }),
    });
    if (!response.ok || !response.body) {
      setState(`failed: HTTP ${response.status}`);
      return;
    }
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let buffer = "";
    while (true) {
      const { value, done } = await reader.read();
      if (done) {
        break;
      }
      const { events, rest } = parse(buffer + decoder.decode(value, { stream: true }));
      buffer = rest;
      events.forEach(show);
    }
  };

  return <Answer {...{ question, setQuestion, ask, answer, state }} />;
}
