import { useEffect, useRef, useState } from "react";

import { Answer } from "./Answer";

/** `?patient` leaves it to the browser to connect again after an error. */
const PATIENT = new URLSearchParams(location.search).has("patient");

export function NativeEventSource({ api }: { api: string }) {
  const [question, setQuestion] = useState("");
  const [answer, setAnswer] = useState("");
  const [state, setState] = useState("");
  const source = useRef<EventSource | null>(null);

  useEffect(() => () => source.current?.close(), []);

  const ask = () => {
    setAnswer("");
    setState("streaming");
    const eventSource = new EventSource(`${api}/stream-with-get?question=${encodeURIComponent(question)}`);
    source.current = eventSource;

    eventSource.onmessage = (event: MessageEvent<string>) => {
      setAnswer((prev) => prev + event.data);
    };

    eventSource.addEventListener("done", () => {
      setState("done");
      eventSource.close();
    });

    eventSource.addEventListener("FatalError", (event: MessageEvent<string>) => {
      setState(`failed: ${event.data}`);
      eventSource.close();
    });

    eventSource.onerror = () => {
      if (PATIENT && eventSource.readyState === EventSource.CONNECTING) {
        return;
      }
      setState("connection error");
      eventSource.close();
    };
  };

  return <Answer {...{ question, setQuestion, ask, answer, state }} />;
}
