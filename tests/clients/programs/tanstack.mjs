// The ChatClient of @tanstack/ai-client over its own connection for server-sent events.
import { toolDefinition } from "@tanstack/ai";
import { ChatClient, fetchServerSentEvents } from "@tanstack/ai-client";

import { down, ended, model as realModel, print, told, url, weather } from "./scenarios.mjs";

/** A client, and what it tells of its runs. */
function ready(props, { base = url, ...options } = {}) {
  const found = {};
  const begun = Promise.withResolvers();
  const client = new ChatClient({
    connection: fetchServerSentEvents(`${base}/agui`),
    forwardedProps: props,
    onChunk: (chunk) => {
      if (chunk.type === "RUN_FINISHED") {
        Object.assign(found, { outcome: chunk.outcome?.type, usage: chunk.usage, result: chunk.result });
      } else if (chunk.type === "TEXT_MESSAGE_CONTENT") {
        begun.resolve(chunk.messageId.replace(/-m1$/, ""));
      }
    },
    ...options,
  });
  return { client, found, begun: begun.promise };
}

function shown({ client, found }) {
  const parts = client.getMessages().filter((message) => message.role === "assistant").flatMap((message) => message.parts);
  const of = (type) => parts.flatMap((part) => (part.type === type ? [part.content] : [])).join("");
  const error = client.getError();
  return {
    ...found,
    status: client.getStatus(),
    error: error && told(error),
    text: of("text"),
    reasoning: of("thinking"),
    types: parts.map((part) => part.type),
  };
}

async function ask(props, text = "x", options = {}) {
  const one = ready(props, options);
  await one.client.sendMessage(text);
  return shown(one);
}

/** The client makes the call and goes on by itself. */
async function tool() {
  const calls = [];
  const { parameters, ...definition } = weather;
  const get_weather = toolDefinition({ ...definition, inputSchema: parameters }).client((input) => {
    calls.push(input);
    return "Sunny";
  });
  return { ...(await ask({ model: "demo:tool-call" }, "x", { tools: [get_weather] })), calls };
}

/** An endless answer that `end` ends once it has begun, told the run's id. */
async function broken(end) {
  const one = ready({ model: "demo:endless-100" });
  const done = one.client.sendMessage("x");
  const id = await one.begun;
  await end(one.client, id);
  await done;
  return { ...shown(one), run: await ended(id) };
}

await print({
  exact: () => ask({ model: "demo" }, "exact"),
  newlines: () => ask({ model: "demo:newlines" }),
  reasoning: () => ask({ model: "demo:thinking", thinking: true }),
  length: () => ask({ model: "demo:length" }),
  early_error: () => ask({ model: "nobody" }),
  unreachable: () => ask({}, "x", { base: down }),
  late_error: () => ask({ model: "demo:error-line" }),
  truncated: () => ask({ model: "demo:no-done" }),
  tool,
  stop: () => broken((client) => client.stop()),
  stopped: () => broken((_, id) => fetch(`${url}/runs/${id}/stop`, { method: "POST" })),
  real: () => ask({ model: realModel, options: { temperature: 0 } }, "What color is the sky?"),
});
