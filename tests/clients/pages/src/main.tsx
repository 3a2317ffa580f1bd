// One page for each way to ask: ?way=…&api=http://localhost:8000.
import { createRoot } from "react-dom/client";
import { StrictMode, type ComponentType } from "react";

import { FetchEventSourceGet } from "./FetchEventSourceGet";
import { FetchEventSourcePost } from "./FetchEventSourcePost";
import { FetchReader } from "./FetchReader";
import { NativeEventSource } from "./NativeEventSource";
import { NoStream } from "./NoStream";

const WAYS: Record<string, ComponentType<{ api: string }>> = {
  "event-source": NativeEventSource,
  "fetch-event-source-get": FetchEventSourceGet,
  "fetch-event-source-post": FetchEventSourcePost,
  "fetch-reader": FetchReader,
  "no-stream": NoStream,
};

const query = new URLSearchParams(location.search);
const Way = WAYS[query.get("way") ?? ""];

if (Way) {
  createRoot(document.getElementById("root")!).render(
    <StrictMode>
      <Way api={query.get("api") ?? "http://localhost:8000"} />
    </StrictMode>,
  );
}
