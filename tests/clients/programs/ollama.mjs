// The ollama package.
import { Ollama } from "ollama";

import { down, model as realModel, print, told, url, weather } from "./scenarios.mjs";

const connect = (base) => new Ollama({ host: `${base}/ollama` });
const client = connect(url);
const said = (content) => [{ role: "user", content }];

async function ask(model, options = {}, on = client) {
  const found = { text: "", thinking: "", calls: [] };
  try {
    for await (const part of await on.chat({ model, messages: said("x"), stream: true, ...options })) {
      found.text += part.message.content;
      found.thinking += part.message.thinking ?? "";
      found.calls.push(...(part.message.tool_calls ?? []));
      if (part.done) {
        found.end = { reason: part.done_reason, tokens: part.eval_count, prompt: part.prompt_eval_count };
      }
    }
  } catch (error) {
    found.error = told(error);
  }
  return found;
}

async function generate() {
  let text = "";
  for await (const part of await client.generate({ model: "demo", prompt: "exact", stream: true })) {
    text += part.response;
  }
  return { text };
}

async function tool() {
  const tools = [{ type: "function", function: weather }];
  const first = await ask("demo:tool-call", { tools });
  const messages = [
    ...said("x"),
    { role: "assistant", content: "", tool_calls: first.calls },
    { role: "tool", tool_name: weather.name, content: "Sunny" },
  ];
  const { text } = await ask("demo:tool-call", { tools, messages });
  return { calls: first.calls.map((call) => call.function), text };
}

async function stop() {
  const stream = await client.chat({ model: "demo:endless-100", messages: said("x"), stream: true });
  let text = "";
  let name = "";
  try {
    for await (const part of stream) {
      text += part.message.content;
      stream.abort();
    }
  } catch (error) {
    name = error.name;
  }
  return { text, name };
}

async function models() {
  const { models } = await client.list();
  const { capabilities } = await client.show({ model: "demo-thinking" });
  return { names: models.map((model) => model.name), capabilities, running: (await client.ps()).models.length };
}

await print({
  exact: () => ask("demo", { messages: said("exact") }),
  newlines: () => ask("demo:newlines"),
  reasoning: () => ask("demo:thinking", { think: true }),
  length: () => ask("demo:length"),
  early_error: () => ask("nobody"),
  unreachable: () => ask("demo", {}, connect(down)),
  late_error: () => ask("demo:error-line"),
  truncated: () => ask("demo:no-done"),
  generate,
  tool,
  stop,
  models,
  real: () => ask(realModel, { messages: said("What color is the sky?"), options: { temperature: 0 } }),
});
