import { createClient } from "../../llmstream";
import { named, type WireLog } from "./log";

export interface Way {
  title: string;
  /** What to look at. */
  about: string;
  /** What can be tried while it runs. */
  can: ("cut" | "hide" | "stay")[];
  /** Ask; resolves when the stream is over. `stay`: do as the code does that forgets to close. */
  ask(question: string, log: WireLog, signal: AbortSignal, stay: boolean): Promise<void>;
}

export const WAYS: Way[] = [
  {
    title: "llmstream hook",
    about:
      "POST /runs starts the run and gives its id; GET …/events follows it. Typed events, numbered. A cut connection " +
      "comes back with the last number it has, and never starts a second run.",
    can: ["cut"],
    ask: native,
  },
  {
    title: "EventSource (GET)",
    about:
      "Built into the browser, GET only. It takes every end for a cut and asks again: code that does not close it on " +
      "“done” sends its question twice. Here the second request has an id, so the server answers 204 and no model runs.",
    can: ["stay"],
    ask: eventSource,
  },
  {
    title: "fetch-event-source (GET)",
    about: "Each message is a piece of the answer, appended as it is. A lost connection comes back with Last-Event-ID.",
    can: ["cut", "hide"],
    ask: (question, log, signal) =>
      fetchEventSource(`./stream-with-get?question=${encodeURIComponent(question)}`, {}, log, signal),
  },
  {
    title: "fetch-event-source (POST)",
    about:
      "When its tab is hidden it hangs up, and when the tab is shown again it sends the POST again. The id it brings " +
      "along makes that the rest of the same answer, not a second one.",
    can: ["cut", "hide"],
    ask: (question, log, signal) =>
      fetchEventSource(
        "./stream-with-post",
        { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ question }) },
        log,
        signal,
      ),
  },
  {
    title: "No stream (POST)",
    about: "One response with the whole answer: nothing to see until the last token has been written.",
    can: [],
    ask: noStream,
  },
];

async function native(question: string, log: WireLog, signal: AbortSignal): Promise<void> {
  const client = createClient({ fetch: log.fetch });
  const run = await client.start({ question });
  signal.addEventListener("abort", () => void client.stop(run));
  for await (const batch of client.follow(run, { signal })) {
    for (const event of batch) if (event.type === "token") log.append(event.text);
  }
}

function eventSource(question: string, log: WireLog, signal: AbortSignal, stay: boolean): Promise<void> {
  return new Promise((resolve) => {
    const path = `./stream-with-get?question=${encodeURIComponent(question)}`;
    log.add("request", `GET ${path.slice(1)}`, "by new EventSource(…)");
    const source = new EventSource(path);
    const over = () => {
      source.close();
      resolve();
    };
    let done = false;
    const add = (event: MessageEvent<string>, name: string) =>
      log.add("message", event.data, named(event.lastEventId, name));
    source.onopen = () => log.add("response", "200 text/event-stream");
    source.onmessage = (event: MessageEvent<string>) => {
      add(event, "");
      log.append(event.data);
    };
    source.addEventListener("done", (event: MessageEvent<string>) => {
      add(event, "done");
      done = true;
      if (!stay) over();
    });
    source.addEventListener("FatalError", (event: MessageEvent<string>) => {
      add(event, "FatalError");
      over();
    });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {
        const refused = "no event stream: the browser does not say what, and stops asking";
        log.add("response", done ? "204: there is nothing more, so it stops asking" : refused);
        over();
      } else log.add("request", "GET again, by itself", "Last-Event-ID: the last id above");
    };
    signal.addEventListener("abort", over);
  });
}

class Fatal extends Error {}

async function fetchEventSource(path: string, init: RequestInit, log: WireLog, signal: AbortSignal): Promise<void> {
  const library = await import("@microsoft/fetch-event-source");
  const { method = "GET", body = null } = init;
  await library.fetchEventSource(path, {
    method,
    body,
    headers: { ...(init.headers as Record<string, string> | undefined) },
    signal,
    fetch: log.fetch,
    onmessage({ event, data }) {
      if (event === "FatalError") throw new Fatal(data);
      log.append(data);
    },
    onerror(error) {
      if (error instanceof Fatal) throw error;
    },
  });
}

async function noStream(question: string, log: WireLog, signal: AbortSignal): Promise<void> {
  const response = await log.fetch("./nostream", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ question }),
    signal,
  });
  const text = await response.text();
  log.add("message", text);
  if (response.ok) log.append((JSON.parse(text) as { answer: string }).answer);
}

/** Has the page's scripts see what they see when the tab is hidden and, a moment later, shown again. */
export function hideAndShow(): void {
  Object.defineProperty(document, "hidden", { value: true, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
  setTimeout(() => {
    Reflect.deleteProperty(document, "hidden");
    document.dispatchEvent(new Event("visibilitychange"));
  }, 500);
}
