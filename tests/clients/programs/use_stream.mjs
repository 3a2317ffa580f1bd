// LangChain's useStream, drawn by React without a browser: with the SDK that it pins, or ("newest") the newest one.
// A second server has a graph that asks before it sends a mail.
import "./dom.mjs";

import { register } from "node:module";

import { createElement } from "react";
import { createRoot } from "react-dom/client";

import { down, ended, model as realModel, print, rest, url } from "./scenarios.mjs";

const [sdk, asking] = rest;
if (sdk === "newest") register("./newest_sdk.mjs", import.meta.url);
const { useStream } = await import("@langchain/react");

/** A page with one thread; what it shows is in `stream`. */
async function open({ base = url, threadId, fetch } = {}) {
  const page = { threadId };
  const Page = () => {
    page.stream = useStream({
      apiUrl: base,
      assistantId: "agent",
      threadId,
      fetch,
      onThreadId: (id) => void (page.threadId = id),
      onCreated: ({ runId }) => void (page.run = runId),
    });
    page.drawn?.();
    return createElement("p", {}, page.stream.messages.map((message) => message.text).join("|"));
  };
  page.element = document.body.appendChild(document.createElement("div"));
  page.root = createRoot(page.element);
  page.root.render(createElement(Page));
  await until(page, () => !page.stream.isThreadLoading);
  return page;
}

/** Waits until a page is as wanted. */
function until(page, wanted) {
  return new Promise((resolve) => {
    const look = () => page.stream && wanted(page.stream) && resolve(page);
    page.drawn = () => setTimeout(look);
    look();
  });
}

const submit = (page, content, options) => page.stream.submit({ messages: [{ type: "human", content }] }, options);
const configured = (configurable) => ({ config: { configurable } });
const begun = (stream) => stream.messages.some((message) => message.type === "ai" && message.text);
const idle = (stream) => !stream.isLoading;

function shown({ stream, element }) {
  const message = stream.messages.at(-1);
  const blocks = Array.isArray(message?.content) ? message.content : [];
  return {
    texts: stream.messages.map((each) => each.text),
    types: stream.messages.map((each) => each.type),
    reasoning: blocks.map((block) => block.reasoning ?? "").join(""),
    finish: message?.response_metadata?.finish_reason,
    error: stream.error && (stream.error.message ?? String(stream.error)),
    loading: stream.isLoading,
    tools: stream.toolCalls.map(({ name, args, status, output }) => ({ name, args, status, output })),
    asked: stream.interrupts.map((each) => each.value),
    drawn: element.textContent,
  };
}

const answered = (stream) => !stream.isLoading && stream.messages.at(-1)?.type === "ai" && stream.messages.at(-1).text;
const refused = (stream) => !stream.isLoading && stream.error;
const broken = (stream) => answered(stream) && stream.error;

/** What the page shows once it has all that the thread has: the pinned SDK may hear of the end before the last piece. */
async function whole(page, base = url) {
  const response = await fetch(`${base}/threads/${page.threadId}/state`);
  if (response.status === 404) return shown(page); // its first run was refused
  const { values } = await response.json();
  const { content } = values.messages.at(-1);
  const text = typeof content === "string" ? content : content.map((block) => block.text ?? "").join("");
  return shown(await until(page, (stream) => stream.messages.at(-1).text === text));
}

async function ask(configurable, { text = "x", wanted = answered, ...options } = {}) {
  const page = await open(options);
  await submit(page, text, configured(configurable));
  return whole(await until(page, wanted), options.base);
}

/** Breaks the first streams off in the middle of a frame. */
function breaking() {
  let left = 3;
  return async (...request) => {
    const response = await fetch(...request);
    if (!String(request[0]).endsWith("/stream/events") || left-- <= 0) return response;
    let size = 0;
    const broken = new TransformStream({
      transform(chunk, controller) {
        size += chunk.length;
        if (size < 2000) return controller.enqueue(chunk);
        controller.enqueue(chunk.subarray(0, chunk.length - 100));
        controller.error(new TypeError("terminated"));
      },
    });
    return new Response(response.body.pipeThrough(broken), response);
  };
}

async function twice() {
  const page = await open();
  await submit(page, "exact");
  await until(page, answered);
  await submit(page, "exact");
  return whole(await until(page, (stream) => answered(stream) && stream.messages.length > 3));
}

async function stop() {
  const page = await open();
  void submit(page, "x", configured({ model: "demo:endless-100" }));
  await until(page, begun);
  await page.stream.stop();
  await until(page, (stream) => idle(stream) && begun(stream)); // the newest SDK drops what came, until it is told to keep it
  return { ...shown(page), run: await ended(page.run) };
}

/** The page is reloaded in mid-answer. */
async function reload() {
  const first = await open();
  void submit(first, "x", configured({ model: "demo:endless-100" }));
  await until(first, begun);
  const { run, threadId } = first;
  const before = shown(first);
  first.root.unmount();
  const again = await until(await open({ threadId }), begun);
  const after = shown(again);
  await fetch(`${url}/runs/${run}/stop`, { method: "POST" });
  return { before, after, last: shown(await until(again, idle)), run: await ended(run) };
}

/** A person is asked; the page is reloaded, and answers. */
async function pause() {
  const first = await open({ base: asking });
  await submit(first, "Mail ann.");
  const before = shown(await until(first, (stream) => stream.interrupts.length > 0 && begun(stream)));
  const { threadId } = first;
  first.root.unmount();
  const again = await open({ base: asking, threadId });
  const asked = shown(await until(again, (stream) => stream.interrupts.length > 0));
  // The id is in the state at once; without it, the hook looks among what its stream has brought.
  await again.stream.respond({ decisions: [{ type: "approve" }] }, { interruptId: again.stream.interrupt.id });
  const isDone = (stream) => answered(stream) && stream.toolCalls.some(({ status }) => status === "finished");
  return { before, asked, after: shown(await until(again, isDone)) };
}

await print({
  exact: () => ask({ model: "demo" }, { text: "exact" }),
  cut: () => ask({ model: "demo" }, { text: "exact", fetch: breaking() }),
  newlines: () => ask({ model: "demo:newlines" }),
  reasoning: () => ask({ model: "demo:thinking", thinking: true }),
  length: () => ask({ model: "demo:length" }),
  early_error: () => ask({ model: "nobody" }, { wanted: refused }),
  unreachable: () => ask({}, { base: down, wanted: refused }),
  late_error: () => ask({ model: "demo:error-line" }, { wanted: broken }),
  truncated: () => ask({ model: "demo:no-done" }, { wanted: broken }),
  ...(asking && { pause }),
  twice,
  stop,
  reload,
  real: () => ask({ model: realModel, options: { temperature: 0 } }, { text: "What color is the sky?" }),
});
