import { EventStreamContentType, fetchEventSource } from "@microsoft/fetch-event-source";
import { useState } from "react";

import { Answer } from "./Answer";
import { FatalError, RetriableError } from "./errors";

export function FetchEventSourceGet({ api }: { api: string }) {
  const [question, setQuestion] = useState("");
  const [answer, setAnswer] = useState("");
  const [state, setState] = useState("");

  const ask = async () => {
    setAnswer("");
    setState("streaming");
    try {
      await fetchEventSource(`${api}/stream-with-get?question=${encodeURIComponent(question)}`, {
        method: "GET",
        headers: { "Content-Type": "application/json" },
        async onopen(response) {
          if (response.ok && response.headers.get("content-type") === EventStreamContentType) {
            return; // everything's good
          } else if (response.status >= 400 && response.status < 500 && response.status !== 429) {
            // client-side errors are usually non-retriable:
            throw new FatalError(`HTTP ${response.status}`);
          } else {
            throw new RetriableError();
          }
        },
        onmessage(msg) {
          // if the server emits an error message, throw an exception
          // so it gets handled by the onerror callback below:
          if (msg.event === "FatalError") {
            throw new FatalError(msg.data);
          }
          setAnswer((prev) => prev + msg.data);
        },
        onclose() {
          setState("done");
        },
        onerror(err) {
          if (err instanceof FatalError) {
            throw err; // rethrow to stop the operation
          } else {
            // do nothing to automatically retry.
          }
        },
      });
    } catch (err) {
      setState(`failed: ${(err as Error).message}`);
    }
  };

  return <Answer {...{ question, setQuestion, ask, answer, state }} />;
}
