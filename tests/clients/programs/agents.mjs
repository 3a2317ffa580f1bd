// An agent asks a person, and each decision goes on with it, in a conversation of its own. Arguments: the client (ai,
// ai-6, ai-5, @ag-ui/client, copilotkit, assistant-ui), the question, the call's other arguments, why not, all as JSON.
import { createRequire } from "node:module";

import { print, rest, told, url } from "./scenarios.mjs";

const [name] = rest;
const [question, changed, reason] = rest.slice(1).map((each) => JSON.parse(each));
const DECISIONS = ["approve", "edit", "reject"];

/** The answer to an interrupt, as LangChain's middleware takes it. */
function answer(decision, { name: tool }) {
  if (decision === "edit") return { decisions: [{ type: "edit", edited_action: { name: tool, args: changed } }] };
  return { decisions: [decision === "reject" ? { type: "reject", message: reason } : { type: "approve" }] };
}

async function aiSdk(decision) {
  const { AbstractChat, DefaultChatTransport, lastAssistantMessageIsCompleteWithApprovalResponses } = await import(name);
  let answered = () => {};
  class State {
    status = "ready";
    error = undefined;
    messages = [];
    pushMessage = (message) => this.messages.push(message);
    popMessage = () => this.messages.pop();
    snapshot = (value) => structuredClone(value);
    replaceMessage = (index, message) => (this.messages[index] = structuredClone(message));
  }
  const chat = new (class extends AbstractChat {})({
    id: `${name}-${decision}`,
    state: new State(),
    transport: new DefaultChatTransport({ api: `${url}/api/chat` }),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
    onFinish: () => answered(),
  });
  const shown = () => aiSdkShown(chat.messages.at(-1).parts, chat.error);
  await chat.sendMessage({ text: question });
  const asked = shown();
  const parts = chat.messages.at(-1).parts;
  const interrupt = parts.find((part) => part.type === "data-interrupt").data;
  if (decision === "edit" || name === "ai-5") {
    // The SDK's approvals say yes or no, and version 5 has none; any answer can go beside the messages.
    const body = { resume: { [interrupt.id]: answer(decision, interrupt.value.action_requests[0]) } };
    await chat.sendMessage(undefined, { body });
  } else {
    const { approval } = parts.find((part) => part.approval);
    const done = new Promise((resolve) => (answered = resolve));
    await chat.addToolApprovalResponse({ id: approval.id, approved: decision === "approve", reason });
    await done;
  }
  return { asked, answered: shown() };
}

function aiSdkShown(parts, error) {
  const gone = parts.flatMap((part) => (part.type === "data-withdrawn" ? [part.data.message] : []));
  return {
    error: error && told(error),
    texts: parts.flatMap((part) =>
      part.type === "text" && !gone.includes(part.providerMetadata?.llmstream?.message) ? [part.text] : [],
    ),
    tools: parts.flatMap(({ toolCallId, state, input, output }) => (toolCallId ? [{ state, input, output }] : [])),
  };
}

async function agui(decision) {
  const core = name === "copilotkit" && (await import("@copilotkit/core"));
  const { HttpAgent } = core
    ? createRequire(import.meta.resolve("@copilotkit/core"))("@ag-ui/client")
    : await import(name);
  const agent = new HttpAgent({ url: `${url}/agui`, threadId: `${name}-${decision}` });
  let end;
  let error;
  agent.subscribe({
    onRunFinishedEvent: ({ event }) => void (end = event),
    onRunErrorEvent: ({ event }) => void (error = event.message),
  });
  const kit = core && new core.CopilotKitCore({ agents__unsafe_dev_only: { default: agent } });
  const run = (options = {}) => (kit ? kit.runAgent({ agent, ...options }) : agent.runAgent(options));
  const shown = () => ({
    error,
    outcome: end?.outcome?.type,
    texts: agent.messages.flatMap(({ role, content }) => (role === "assistant" && content ? [content] : [])),
    tools: agent.messages.flatMap((message) => (message.toolCalls ?? []).map((call) => ({
      input: JSON.parse(call.function.arguments),
      output: agent.messages.find(({ toolCallId }) => toolCallId === call.id)?.content,
    }))),
  });
  agent.addMessage({ id: "q", role: "user", content: question });
  await run();
  const asked = shown();
  const resume = end.outcome.interrupts.map(({ id, metadata }) => ({
    interruptId: id,
    status: "resolved",
    payload: answer(decision, metadata.value.action_requests[0]),
  }));
  await run({ resume });
  return { asked, answered: shown() };
}

async function assistantUi(decision) {
  await import("./dom.mjs");
  const { AssistantRuntimeProvider, MessagePrimitive, ThreadPrimitive } = await import("@assistant-ui/react");
  const { AssistantChatTransport, useChatRuntime } = await import("@assistant-ui/react-ai-sdk");
  const { lastAssistantMessageIsCompleteWithApprovalResponses } = await import("ai");
  const { createElement } = await import("react");
  const { createRoot } = await import("react-dom/client");
  const transport = new AssistantChatTransport({ api: `${url}/api/chat` });
  const drawn = Promise.withResolvers();
  let respond;
  const Tool = ({ respondToApproval, approval }) => {
    if (approval && approval.approved === undefined) respond = respondToApproval;
    return null;
  };
  const Message = () => createElement(MessagePrimitive.Parts, { components: { tools: { Fallback: Tool } } });
  const Page = () => {
    const runtime = useChatRuntime({
      transport,
      sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
    });
    drawn.resolve(runtime);
    return createElement(
      AssistantRuntimeProvider,
      { runtime },
      createElement(ThreadPrimitive.Messages, { components: { Message } }),
    );
  };
  createRoot(document.body.appendChild(document.createElement("div"))).render(createElement(Page));
  const { thread } = await drawn.promise;
  const last = () => thread.getState().messages.at(-1);
  const until = (wanted) =>
    new Promise((resolve) => {
      const timer = setInterval(() => wanted() && (clearInterval(timer), resolve()), 20); // it is drawn after it is told
    });
  const shown = () => ({
    outcome: last().status.type,
    texts: last().content.flatMap((part) => (part.type === "text" ? [part.text] : [])),
    withdrawn: last().content.flatMap((part) => (part.type === "data" && part.name === "withdrawn" ? [part.data] : [])).length,
    tools: last().content.flatMap((part) => (part.type === "tool-call" ? [{ input: part.args, output: part.result }] : [])),
  });
  thread.append(question);
  await until(() => respond && last()?.status.type === "requires-action");
  const asked = shown();
  await respond(decision === "approve" ? { approved: true } : { approved: false, reason });
  await until(() => last()?.status.type === "complete");
  return { asked, answered: shown() };
}

console.warn = () => {}; // of what an older protocol lacks
const by = name.startsWith("ai") ? aiSdk : name === "assistant-ui" ? assistantUi : agui;
const decisions = name === "assistant-ui" ? ["approve", "reject"] : DECISIONS;
await print(Object.fromEntries(decisions.map((decision) => [decision, () => by(decision)])));
