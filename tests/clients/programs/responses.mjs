// OpenAI's Responses, by the openai package and by the AI SDK's openai(model).
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, isStepCount, jsonSchema, streamText, tool as makeTool } from "ai";
import OpenAI from "openai";

import { down, ended, model as realModel, print, told, url, weather } from "./scenarios.mjs";

const connect = (base) => new OpenAI({ baseURL: `${base}/v1`, apiKey: "unused", maxRetries: 0 });
const connectSdk = (base) => createOpenAI({ baseURL: `${base}/v1`, apiKey: "unused" });
const client = connect(url);
const provider = connectSdk(url);
const tools = [{ type: "function", name: weather.name, description: weather.description, parameters: weather.parameters }];

/** Everything of a stream, and the error that ended it. */
async function ask(model, options = {}, on = client) {
  const found = { text: "", reasoning: "" };
  try {
    const stream = on.responses.stream({ model, input: "x", ...options });
    stream.on("response.output_text.delta", ({ delta }) => { found.text += delta; });
    stream.on("response.reasoning_summary_text.delta", ({ delta }) => { found.reasoning += delta; });
    stream.on("event", ({ type }) => { found.end = type; });
    const response = await stream.finalResponse();
    Object.assign(found, { end: response.status, usage: response.usage, whole: response.output_text });
  } catch (error) {
    found.error = told(error);
  }
  return found;
}

/** Followed for some events, left, and followed again from there. */
async function resume() {
  const stream = await client.responses.create({ model: "demo", input: "exact", background: true, stream: true });
  const had = [];
  for await (const event of stream) {
    had.push(event);
    if (had.length === 5) {
      break;
    }
  }
  const { id } = had[0].response;
  const after = had.at(-1).sequence_number;
  for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: after })) {
    had.push(event);
  }
  const text = had.map((event) => (event.type === "response.output_text.delta" ? event.delta : "")).join("");
  return { text, numbers: had.map((event) => event.sequence_number), whole: (await client.responses.retrieve(id)).output_text };
}

async function cancel() {
  const { id } = await client.responses.create({ model: "demo:endless-100", input: "x", background: true });
  const { status } = await client.responses.cancel(id);
  return { status, run: await ended(id.replace(/^resp_/, "")) };
}

/** A call, and the answer that is made from its result. */
async function tool() {
  const input = [{ role: "user", content: "x" }];
  const first = await client.responses.create({ model: "demo:tool-call", input, tools });
  const call = first.output.find((item) => item.type === "function_call");
  const output = { type: "function_call_output", call_id: call.call_id, output: "Sunny" };
  const second = await client.responses.create({ model: "demo:tool-call", input: [...input, ...first.output, output], tools });
  return { calls: [JSON.parse(call.arguments)], text: second.output_text };
}

/** The same of the AI SDK. */
async function sdk(model, options = {}, on = provider) {
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
      Object.assign(found, { end: part.finishReason, usage: part.totalUsage });
    }
  }
  return found;
}

async function sdkTool() {
  const calls = [];
  const get_weather = makeTool({
    description: weather.description,
    inputSchema: jsonSchema(weather.parameters),
    execute: (input) => { calls.push(input); return "Sunny"; },
  });
  return { calls, ...(await sdk("demo:tool-call", { tools: { get_weather }, stopWhen: isStepCount(3) })) };
}

/** The second question goes with the first answer, which the SDK names instead of sending it. */
async function sdkTurns() {
  const sent = [];
  const fetch = (address, options) => { sent.push(JSON.parse(options.body).input); return globalThis.fetch(address, options); };
  const model = createOpenAI({ baseURL: `${url}/v1`, apiKey: "unused", fetch })("demo");
  const question = { role: "user", content: "exact" };
  const first = await generateText({ model, messages: [question] });
  const second = await generateText({ model, messages: [question, ...first.response.messages, question] });
  return { text: second.text, sent: sent.at(-1) };
}

await print({
  exact: () => ask("demo", { input: "exact" }),
  newlines: () => ask("demo:newlines"),
  reasoning: () => ask("demo:thinking", { reasoning: { effort: "high" } }),
  length: () => ask("demo:length"),
  early_error: () => ask("nobody"),
  unreachable: () => ask("demo", {}, connect(down)),
  late_error: () => ask("demo:error-line"),
  truncated: () => ask("demo:no-done"),
  resume,
  cancel,
  tool,
  sdk_exact: () => sdk("demo", { prompt: "exact" }),
  sdk_newlines: () => sdk("demo:newlines"),
  sdk_reasoning: () => sdk("demo:thinking", { providerOptions: { openai: { reasoningEffort: "high", forceReasoning: true } } }),
  sdk_length: () => sdk("demo:length"),
  sdk_early_error: () => sdk("nobody"),
  sdk_unreachable: () => sdk("demo", {}, connectSdk(down)),
  sdk_late_error: () => sdk("demo:error-line"),
  sdk_truncated: () => sdk("demo:no-done"),
  sdk_tool: sdkTool,
  sdk_turns: sdkTurns,
  real: () => ask(realModel, { temperature: 0, input: "What color is the sky?" }),
});
