// The HttpAgent of @ag-ui/client 1.0; with the argument copilotkit, CopilotKit's core with the HttpAgent it comes with.
import { createRequire } from "node:module";

import { down, ended, model as realModel, print, rest, told, url, weather } from "./scenarios.mjs";

console.error = () => {}; // the agents log every failure before they throw it

const inner = rest[0] === "copilotkit" && (await import("@copilotkit/core"));
const { HttpAgent } = inner
  ? createRequire(import.meta.resolve("@copilotkit/core"))("@ag-ui/client")
  : await import("@ag-ui/client");

/** An agent with one question, and what it tells of its run. */
function ready({ base = url, text = "x" } = {}) {
  const agent = new HttpAgent({ url: `${base}/agui` });
  agent.messages = [{ id: "1", role: "user", content: text }];
  const found = {};
  agent.subscribe({
    onRunFinishedEvent: ({ event, outcome, pendingToolCallIds }) => {
      Object.assign(found, { outcome, pending: pendingToolCallIds, usage: event.usage, result: event.result });
    },
    onRunErrorEvent: ({ event }) => {
      found.error = { message: event.message, code: event.code };
    },
    onRunFailed: ({ error }) => {
      found.error = told(error);
    },
  });
  return { agent, found };
}

/** One run, by the agent itself or by the core that holds it. */
async function run({ agent, found }, props, tools = []) {
  try {
    if (inner) {
      const core = new inner.CopilotKitCore({ agents__unsafe_dev_only: { default: agent }, properties: props, tools });
      await core.runAgent({ agent });
    } else {
      await agent.runAgent({ forwardedProps: props, tools: tools.map(({ handler, ...tool }) => tool) });
    }
  } catch (error) {
    found.error = told(error);
  }
  return shown({ agent, found });
}

function shown({ agent, found }) {
  const of = (role) => agent.messages.filter((message) => message.role === role).map((message) => message.content ?? "");
  return { ...found, text: of("assistant").join(""), reasoning: of("reasoning").join(""), roles: agent.messages.map((m) => m.role) };
}

const ask = (model, { props = {}, ...options } = {}) => run(ready(options), { model, ...props });

/** CopilotKit makes the call and goes on by itself; with the bare agent the page does both. */
async function tool() {
  const calls = [];
  const handler = (input) => { calls.push(input); return "Sunny"; };
  const props = { model: "demo:tool-call" };
  const one = ready();
  if (inner) {
    const { z } = await import("zod");
    const parameters = z.object({ city: z.string() });
    return { ...(await run(one, props, [{ ...weather, parameters, handler, followUp: true }])), calls };
  }
  const { pending } = await run(one, props, [weather]);
  for (const call of one.agent.messages.flatMap((message) => message.toolCalls ?? [])) {
    handler(JSON.parse(call.function.arguments));
    one.agent.messages.push({ id: "r", role: "tool", toolCallId: call.id, content: "Sunny" });
  }
  return { ...(await run(one, props, [weather])), pending, calls };
}

/** An endless answer that `end` ends once it has begun, told the run's id. */
async function broken(end) {
  const one = ready();
  const begun = new Promise((resolve) => one.agent.subscribe({ onTextMessageContentEvent: ({ event }) => resolve(event) }));
  const done = run(one, { model: "demo:endless-100" });
  const id = (await begun).messageId.replace(/-m1$/, "");
  await end(one.agent, id);
  return { ...(await done), run: await ended(id) };
}

await print({
  exact: () => ask("demo", { text: "exact" }),
  newlines: () => ask("demo:newlines"),
  reasoning: () => ask("demo:thinking", { props: { thinking: true } }),
  length: () => ask("demo:length"),
  early_error: () => ask("nobody"),
  unreachable: () => ask("demo", { base: down }),
  late_error: () => ask("demo:error-line"),
  truncated: () => ask("demo:no-done"),
  tool,
  stop: () => broken((agent) => agent.abortRun()),
  stopped: () => broken((_, id) => fetch(`${url}/runs/${id}/stop`, { method: "POST" })),
  real: () => ask(realModel, { text: "What color is the sky?", props: { options: { temperature: 0 } } }),
});
