// The AI SDK on a server, by way of @ai-sdk/openai-compatible.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, isStepCount, jsonSchema, streamText, tool as makeTool } from "ai";

import { down, model as realModel, print, told, url, weather } from "./scenarios.mjs";

const connect = (base) => createOpenAICompatible({ name: "llmstream", baseURL: `${base}/v1`, includeUsage: true });
const provider = connect(url);

async function ask(model, options = {}, on = provider) {
  const found = { text: "", reasoning: "" };
  const result = streamText({ model: on(model), prompt: "x", maxRetries: 0, onError: () => {}, ...options });
  for await (const part of result.stream) {
    if (part.type === "text-delta") {
      found.text += part.text;
    } else if (part.type === "reasoning-delta") {
      found.reasoning += part.text;
    } else if (part.type === "error") {
      found.error = told(part.error);
    } else if (part.type === "finish") {
      found.reason = part.finishReason;
      found.usage = part.totalUsage;
    }
  }
  return found;
}

async function tool() {
  const calls = [];
  const get_weather = makeTool({
    description: weather.description,
    inputSchema: jsonSchema(weather.parameters),
    execute: (input) => { calls.push(input); return "Sunny"; },
  });
  const found = await ask("demo:tool-call", { tools: { get_weather }, stopWhen: isStepCount(3) });
  return { calls, ...found };
}

async function stop() {
  const leave = new AbortController();
  const result = streamText({ model: provider("demo:endless-100"), prompt: "x", abortSignal: leave.signal, onError: () => {} });
  let text = "";
  for await (const part of result.stream) {
    text += part.type === "text-delta" ? part.text : "";
    if (text) {
      leave.abort();
    }
  }
  return { text };
}

async function whole() {
  const { text, usage, finishReason } = await generateText({ model: provider("demo"), prompt: "exact" });
  return { text, usage, reason: finishReason };
}

await print({
  exact: () => ask("demo", { prompt: "exact" }),
  newlines: () => ask("demo:newlines"),
  reasoning: () => ask("demo:thinking", { providerOptions: { llmstream: { reasoningEffort: "high" } } }),
  length: () => ask("demo:length"),
  early_error: () => ask("nobody"),
  unreachable: () => ask("demo", {}, connect(down)),
  late_error: () => ask("demo:error-line"),
  truncated: () => ask("demo:no-done"),
  tool,
  stop,
  whole,
  real: () => ask(realModel, { temperature: 0, prompt: "What color is the sky?" }),
});
