// Clients that know server-sent events and nothing of what is in them, reading the typed events of a run.
// One more argument: the package, eventsource, eventsource-parser or @microsoft/fetch-event-source.
import { createParser } from "eventsource-parser";
import { EventSource } from "eventsource";

import { down, ended, model as realModel, print, rest, url } from "./scenarios.mjs";

globalThis.window = globalThis;
globalThis.document = new EventTarget();
const { fetchEventSource } = await import("@microsoft/fetch-event-source");

const TYPES = ["started", "status", "token", "reasoning", "finished", "failed", "cancelled"];
const ENDS = TYPES.slice(-3);

/** The response, if it is one to read on. */
async function opened(response) {
  if (!response.ok) {
    throw { status: response.status, message: (await response.json()).message };
  }
  return response;
}

const request = (body) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

/** Starts a run, then follows it from its events' address. */
async function withEventSource(base, body, onEvent, signal) {
  const { events_url } = await (await opened(await fetch(`${base}/runs`, request(body)))).json();
  const source = new EventSource(`${base}${events_url}`);
  await new Promise((resolve) => {
    signal.addEventListener("abort", resolve);
    for (const type of TYPES) {
      source.addEventListener(type, ({ data }) => {
        onEvent(JSON.parse(data));
        ENDS.includes(type) && resolve();
      });
    }
  });
  source.close();
}

async function withParser(base, body, onEvent, signal) {
  const response = await opened(await fetch(`${base}/stream`, { ...request(body), signal }));
  const parser = createParser({ onEvent: ({ data }) => onEvent(JSON.parse(data)) });
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    parser.feed(text);
  }
}

async function withFetchEventSource(base, body, onEvent, signal) {
  await fetchEventSource(`${base}/stream`, {
    ...request(body),
    signal,
    onopen: opened,
    onmessage: ({ data }) => onEvent(JSON.parse(data)),
    onerror: (error) => {
      if (error.status) {
        throw error; // it would try again
      }
    },
  });
}

const follow = {
  eventsource: withEventSource,
  "eventsource-parser": withParser,
  "@microsoft/fetch-event-source": withFetchEventSource,
}[rest[0]];

/** What an answer was; `until` says at which event to leave. */
async function ask(body, { base = url, until = () => false } = {}) {
  const found = { text: "", reasoning: "" };
  const leaving = new AbortController();
  const take = ({ type, text = "", ...fields }) => {
    found.run = fields.run;
    if (type === "token" || type === "reasoning") {
      found[type === "token" ? "text" : type] += text;
    } else if (ENDS.includes(type)) {
      found.end = { type, ...fields };
    }
    until(type) && leaving.abort();
  };
  try {
    await follow(base, { question: "x", ...body }, take, leaving.signal);
  } catch (error) {
    if (error.name !== "AbortError") {
      found.error = error;
    }
  }
  return found;
}

async function stop() {
  const { run, text } = await ask({ model: "demo:endless-100" }, { until: (type) => type === "token" });
  return { text, run: await ended(run) };
}

await print({
  exact: () => ask({ model: "demo", question: "exact" }),
  newlines: () => ask({ model: "demo:newlines" }),
  reasoning: () => ask({ model: "demo:thinking", thinking: true }),
  length: () => ask({ model: "demo:length" }),
  early_error: () => ask({ model: "nobody" }),
  unreachable: () => ask({}, { base: down }),
  late_error: () => ask({ model: "demo:error-line" }),
  truncated: () => ask({ model: "demo:no-done" }),
  stop,
  real: () => ask({ model: realModel, options: { temperature: 0 }, question: "What color is the sky?" }),
});
