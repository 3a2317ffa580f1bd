// assistant-ui's runtime and components for the AI SDK, drawn by React without a browser.
import "./dom.mjs";

import {
  AssistantRuntimeProvider, ErrorPrimitive, MessagePartPrimitive, MessagePrimitive, ThreadPrimitive, useAssistantTool,
} from "@assistant-ui/react";
import { AssistantChatTransport, createResumableSessionStorage, useChatRuntime } from "@assistant-ui/react-ai-sdk";
import { lastAssistantMessageIsCompleteWithToolCalls } from "ai";
import { createElement } from "react";
import { createRoot } from "react-dom/client";

import { down, ended, model as realModel, print, url, weather } from "./scenarios.mjs";

const Text = () => createElement(MessagePartPrimitive.Text, { smooth: false });
const Message = () => [
  createElement(MessagePrimitive.Parts, { key: "parts", components: { Text } }),
  createElement(MessagePrimitive.Error, { key: "error" }, createElement(ErrorPrimitive.Message)),
];

const Tool = ({ execute }) => {
  useAssistantTool({ ...weather, toolName: weather.name, execute });
};

/** A page with one thread, once it is drawn; `execute` is its tool. */
async function open({ base = url, body = {}, execute, resumable } = {}) {
  const transport = new AssistantChatTransport({ api: `${base}/api/chat`, body, ...(resumable && { resumable }) });
  const drawn = Promise.withResolvers();
  const Page = () => {
    const runtime = useChatRuntime({ transport, sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls });
    drawn.resolve(runtime);
    return createElement(
      AssistantRuntimeProvider,
      { runtime },
      execute && createElement(Tool, { execute }),
      createElement(ThreadPrimitive.Messages, { components: { Message } }),
    );
  };
  const element = document.body.appendChild(document.createElement("div"));
  const root = createRoot(element);
  root.render(createElement(Page));
  return { element, root, thread: (await drawn.promise).thread };
}

const last = (page) => page.thread.getState().messages.at(-1);

/** Waits until a page is as wanted. */
function until(page, wanted) {
  return new Promise((resolve) => {
    const look = () => wanted(last(page)) && resolve(page);
    page.thread.subscribe(look);
    look();
  });
}

const joined = (message, type) => message.content.flatMap((part) => (part.type === type ? [part.text] : [])).join("");
const over = (message) => message?.role === "assistant" && !["running", "requires-action"].includes(message.status.type);
const begun = (message) => message?.role === "assistant" && joined(message, "text") !== "";

function shown(page) {
  const message = last(page);
  return {
    id: message.id,
    status: message.status,
    text: joined(message, "text"),
    reasoning: joined(message, "reasoning"),
    metadata: message.metadata.custom,
    drawn: page.element.textContent,
  };
}

async function ask(body, { text = "x", ...options } = {}) {
  const page = await open({ body, ...options });
  page.thread.append(text);
  return shown(await until(page, over));
}

async function tool() {
  const calls = [];
  const execute = async (input) => { calls.push(input); return "Sunny"; };
  const page = await open({ body: { model: "demo:tool-call" }, execute });
  page.thread.append("x");
  await until(page, (message) => over(message) && begun(message));
  return { ...shown(page), calls };
}

/** An endless answer that `end` ends once it has begun. */
async function broken(end) {
  const page = await open({ body: { model: "demo:endless-100" } });
  page.thread.append("x");
  await until(page, begun);
  await end(page.thread, last(page).id);
  await until(page, over);
  return { ...shown(page), run: await ended(last(page).id) };
}

const stopRun = (id) => fetch(`${url}/runs/${id}/stop`, { method: "POST" });

/** The page is reloaded in mid-answer. */
async function resume() {
  const page = () => {
    const storage = createResumableSessionStorage({ key: "chat" });
    const resumable = { storage, resumeApi: (id) => `${url}/api/chat/${id}/stream` };
    return open({ body: { model: "demo:endless-100", on_leave: "continue" }, resumable });
  };
  const first = await page();
  first.thread.append("x");
  const before = shown(await until(first, begun));
  first.root.unmount();
  const again = await until(await page(), begun);
  await stopRun(before.id);
  return { first: before, again: shown(await until(again, over)) };
}

await print({
  exact: () => ask({ model: "demo" }, { text: "exact" }),
  newlines: () => ask({ model: "demo:newlines" }),
  reasoning: () => ask({ model: "demo:thinking", thinking: true }),
  length: () => ask({ model: "demo:length" }),
  early_error: () => ask({ model: "nobody" }),
  unreachable: () => ask({}, { base: down }),
  late_error: () => ask({ model: "demo:error-line" }),
  truncated: () => ask({ model: "demo:no-done" }),
  tool,
  stop: () => broken((thread) => thread.cancelRun()),
  stopped: () => broken((_, id) => stopRun(id)),
  resume,
  real: () => ask({ model: realModel, options: { temperature: 0 } }, { text: "What color is the sky?" }),
});
