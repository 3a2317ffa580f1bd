// A person approves of one call and rejects another: in the AI SDK's Chat (ai, ai-6, ai-5), or the HttpAgent of AG-UI.
import { print, rest, told, url } from "./scenarios.mjs";

const [name] = rest;

async function aiSdk() {
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
    id: `approval-${name}`,
    state: new State(),
    transport: new DefaultChatTransport({ api: `${url}/api/chat` }),
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
    onFinish: () => answered(),
  });
  const parts = () => chat.messages.at(-1).parts;
  const shown = () => ({
    error: chat.error && told(chat.error),
    texts: parts().flatMap((part) => (part.type === "text" ? [part.text] : [])),
    tools: parts().flatMap(({ toolCallId, state, output }) => (toolCallId ? [{ state, output }] : [])),
    asked: parts().flatMap((part) => (part.type === "data-interrupt" ? [part.data.value.action_requests[0].name] : [])),
  });
  const found = [];
  for (const decision of [{ approved: true }, { approved: false, reason: "refused" }]) {
    await chat.sendMessage({ text: "Mail ann." });
    found.push(shown());
    const { approval } = parts().find((part) => part.approval) ?? {};
    if (!approval) break;
    const done = new Promise((resolve) => (answered = resolve));
    await chat.addToolApprovalResponse({ id: approval.id, ...decision });
    await done;
    found.push(shown());
  }
  return found;
}

async function agui() {
  const { HttpAgent } = await import(name);
  const agent = new HttpAgent({ url: `${url}/agui`, threadId: "approval" });
  let outcome;
  agent.subscribe({ onRunFinishedEvent: ({ event }) => void (outcome = event.outcome) });
  const payload = { decisions: [{ type: "approve" }] };
  const found = [];
  for (const answer of [{ status: "resolved", payload }, { status: "cancelled" }]) {
    agent.addMessage({ id: `${answer.status}`, role: "user", content: "Mail ann." });
    await agent.runAgent();
    const asked = outcome.interrupts.map((each) => ({ reason: each.reason, message: each.message }));
    await agent.runAgent({ resume: outcome.interrupts.map(({ id }) => ({ interruptId: id, ...answer })) });
    const texts = agent.messages.flatMap(({ role, content }) => (role === "assistant" && content ? [content] : []));
    found.push({ asked, outcome: outcome.type, texts, roles: agent.messages.map(({ role }) => role) });
  }
  return found;
}

console.warn = () => {}; // of what an older protocol lacks
print({ found: name.startsWith("ai") ? aiSdk : agui });
