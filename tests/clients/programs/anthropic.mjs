// Anthropic's package.
import Anthropic from "@anthropic-ai/sdk";

import { down, ended, model as realModel, print, told, url, weather } from "./scenarios.mjs";

const connect = (base, options = {}) => new Anthropic({ baseURL: base, apiKey: "unused", maxRetries: 0, ...options });
const client = connect(url);
const said = (content) => [{ role: "user", content }];
const tools = [{ name: weather.name, description: weather.description, input_schema: weather.parameters }];

/** Everything of a stream, and the error that ended it. */
async function ask(model, options = {}, on = client) {
  const found = { text: "", reasoning: "", calls: [] };
  try {
    const stream = on.messages.stream({ model, max_tokens: 1000, messages: said("x"), ...options });
    stream.on("text", (text) => { found.text += text; });
    stream.on("thinking", (text) => { found.reasoning += text; });
    const message = await stream.finalMessage();
    found.calls = message.content.filter((block) => block.type === "tool_use");
    found.reason = message.stop_reason;
    found.usage = message.usage;
  } catch (error) {
    found.error = told(error);
  }
  return found;
}

/** A call, and the answer that is made from its result. */
async function tool() {
  const model = "demo:tool-call";
  const first = await client.messages.create({ model, max_tokens: 1000, messages: said("x"), tools });
  const call = first.content.find((block) => block.type === "tool_use");
  const result = { type: "tool_result", tool_use_id: call.id, content: "Sunny" };
  const messages = [...said("x"), { role: "assistant", content: first.content }, { role: "user", content: [result] }];
  const second = await client.messages.create({ model, max_tokens: 1000, messages, tools });
  return { calls: [call.input], text: second.content.map((block) => block.text).join("") };
}

async function stop() {
  const stream = client.messages.stream({ model: "demo:endless-100", max_tokens: 100_000, messages: said("x") });
  let id = "";
  for await (const event of stream) {
    id = event.message?.id ?? id;
    if (event.type === "content_block_delta") {
      break;
    }
  }
  stream.abort();
  return { run: await ended(id.replace(/^msg_/, "")) };
}

async function whole() {
  const message = await client.messages.create({ model: "demo", max_tokens: 1000, messages: said("exact") });
  return { text: message.content[0].text, reason: message.stop_reason, usage: message.usage };
}

await print({
  exact: () => ask("demo", { messages: said("exact") }),
  newlines: () => ask("demo:newlines"),
  reasoning: () => ask("demo:thinking", { thinking: { type: "enabled", budget_tokens: 1024 } }),
  length: () => ask("demo:length"),
  early_error: () => ask("nobody"),
  unreachable: () => ask("demo", {}, connect(down)),
  late_error: () => ask("demo:error-line"),
  truncated: () => ask("demo:no-done"),
  tool,
  stop,
  whole,
  real: () => ask(realModel, { temperature: 0, messages: said("What color is the sky?") }),
});
