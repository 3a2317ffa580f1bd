// The openai package.
import OpenAI from "openai";

import { down, ended, model as realModel, print, told, url, weather } from "./scenarios.mjs";

const connect = (base, options = {}) => new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused", ...options });
const client = connect(url);
const said = (content) => [{ role: "user", content }];
const messages = said("x");
const runOf = (id) => id.replace(/^chatcmpl-/, "");

/** Everything of a stream, and the error that ended it. */
async function ask(model, options = {}, on = client) {
  const found = { text: "", reasoning: "", calls: [], chunks: 0 };
  try {
    const stream = await on.chat.completions.create({
      model, messages, stream: true, stream_options: { include_usage: true }, ...options,
    });
    for await (const chunk of stream) {
      found.chunks += 1;
      found.usage = chunk.usage ?? found.usage;
      const [choice] = chunk.choices;
      found.text += choice?.delta.content ?? "";
      found.reasoning += choice?.delta.reasoning_content ?? "";
      found.calls.push(...(choice?.delta.tool_calls ?? []));
      found.reason = choice?.finish_reason ?? found.reason;
    }
  } catch (error) {
    found.error = told(error);
  }
  return found;
}

/** The package's own helper calls the tool and asks again. */
async function tool() {
  const calls = [];
  const runner = client.chat.completions.runTools({
    model: "demo:tool-call",
    messages,
    stream: true,
    tools: [{
      type: "function",
      function: { ...weather, parse: JSON.parse, function: (input) => { calls.push(input); return "Sunny"; } },
    }],
  });
  return { calls, text: await runner.finalContent() };
}

async function stop() {
  const stream = await client.chat.completions.create({ model: "demo:endless-100", messages, stream: true });
  let text = "";
  let id = "";
  for await (const chunk of stream) {
    id = chunk.id;
    text += chunk.choices[0]?.delta.content ?? "";
    if (text) {
      break;
    }
  }
  return { text, run: await ended(runOf(id)) };
}

async function whole() {
  const completion = await client.chat.completions.create({ model: "demo", messages: said("exact") });
  const [choice] = completion.choices;
  return { text: choice.message.content, reason: choice.finish_reason, usage: completion.usage };
}

async function models() {
  const names = [];
  for await (const model of client.models.list()) {
    names.push(model.id);
  }
  return { names, one: (await client.models.retrieve("demo")).id };
}

/** From a page on another origin the browser asks first, for every header the package sends. */
async function preflight() {
  let sent = {};
  const fetch = async (address, options) => {
    sent = Object.fromEntries(new Headers(options.headers));
    return globalThis.fetch(address, options);
  };
  const page = connect(url, { dangerouslyAllowBrowser: true, fetch });
  await page.chat.completions.create({ model: "demo:one-chunk", messages });
  const names = Object.keys(sent).filter((name) => !["accept", "user-agent", "content-length"].includes(name));
  const answer = await globalThis.fetch(`${url}/v1/chat/completions`, {
    method: "OPTIONS",
    headers: {
      origin: "http://localhost:5173",
      "access-control-request-method": "POST",
      "access-control-request-headers": names.sort().join(", "),
    },
  });
  return { names, status: answer.status, text: await answer.text() };
}

await print({
  exact: () => ask("demo", { messages: said("exact") }),
  newlines: () => ask("demo:newlines"),
  reasoning: () => ask("demo:thinking", { reasoning_effort: "high" }),
  length: () => ask("demo:length"),
  tagged: () => ask("demo:latest"),
  early_error: () => ask("nobody"),
  unreachable: () => ask("demo", {}, connect(down, { maxRetries: 0 })),
  refused: () => ask("demo", { n: 2 }),
  late_error: () => ask("demo:error-line"),
  truncated: () => ask("demo:no-done"),
  tool,
  stop,
  whole,
  models,
  preflight,
  real: () => ask(realModel, { temperature: 0, messages: said("What color is the sky?") }),
});
