// The Chat of the AI SDK, the one behind useChat. One more argument: the package, ai, ai-5 or ai-6.
import { pageChat } from "./page_chat.mjs";
import { down, ended, model, print, rest, url, weather } from "./scenarios.mjs";

const { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } = await import(rest[0]);
const api = `${url}/api/chat`;

class Chat extends pageChat(AbstractChat) {
  constructor(id, body, { base = url, ...options } = {}) {
    super(id, new DefaultChatTransport({ api: `${base}/api/chat`, body }), options);
  }
}

async function ask(id, body, text = "x", base = url) {
  const chat = new Chat(id, body, { base });
  await chat.sendMessage({ text });
  return chat.shown();
}

async function tool(id) {
  const calls = [];
  const tools = { [weather.name]: { description: weather.description, parameters: weather.parameters } };
  const chat = new Chat(id, { model: "demo:tool-call", tools }, {
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall: ({ toolCall }) => {
      calls.push({ name: toolCall.toolName, input: toolCall.input });
      const add = chat.addToolOutput ?? chat.addToolResult;
      add.call(chat, { tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: "Sunny" });
    },
  });
  await chat.sendMessage({ text: "x" });
  return { calls, ...chat.shown() };
}

async function stop(id) {
  const chat = new Chat(id, { model: "demo:endless-100" });
  const done = chat.sendMessage({ text: "x" });
  await chat.text;
  const { status } = await fetch(`${api}/${id}/stop`, { method: "POST" });
  await done;
  const shown = chat.shown();
  return { answered: status, run: await ended(shown.id), ...shown };
}

async function resume(id) {
  const first = new Chat(id, { model: "demo:endless-100" });
  const done = first.sendMessage({ text: "x" });
  await first.text;
  await first.stop();
  await done;
  const again = new Chat(id);
  const resumed = again.resumeStream();
  await again.text;
  await fetch(`${api}/${id}/stop`, { method: "POST" });
  await resumed;
  const nothing = new Chat(id);
  await nothing.resumeStream();
  return { first: first.shown(), again: again.shown(), after: nothing.messages.length };
}

await print({
  exact: (id) => ask(id, { model: "demo" }, "exact"),
  newlines: (id) => ask(id, { model: "demo:newlines" }),
  reasoning: (id) => ask(id, { model: "demo:thinking", thinking: true }),
  length: (id) => ask(id, { model: "demo:length" }),
  early_error: (id) => ask(id, { model: "nobody" }),
  unreachable: (id) => ask(id, {}, "x", down),
  late_error: (id) => ask(id, { model: "demo:error-line" }),
  truncated: (id) => ask(id, { model: "demo:no-done" }),
  tool,
  stop,
  resume,
  real: (id) => ask(id, { model, options: { temperature: 0 } }, "What color is the sky?"),
});
