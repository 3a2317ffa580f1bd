// WorkflowChatTransport under the Chat of the AI SDK. It needs no `workflow`, of which the packages here hold none.
import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { AbstractChat } from "ai";
import { pageChat } from "./page_chat.mjs";
import { model, print, rest, url } from "./scenarios.mjs";

const Page = pageChat(AbstractChat);
const api = `${url}/api/chat`;
const quiet = /^Error in chat (POST stream|GET reconnectToStream)|Dropping orphan UI chunk/;
for (const way of ["error", "warn"]) {
  console[way] = (what, ...more) => quiet.test(what) || process.stderr.write(`${[what, ...more].join(" ")}\n`);
}

/** A page whose transport has told the run and the number of requests. */
function open(id, options) {
  const asked = { requests: 0 };
  const transport = new WorkflowChatTransport({
    api,
    fetch: (...request) => {
      asked.requests += 1;
      return fetch(...request);
    },
    onChatSendMessage: (response) => (asked.run = response.headers.get("x-workflow-run-id")),
    onChatEnd: ({ chunkIndex }) => (asked.chunks = chunkIndex),
    ...options,
  });
  return { page: new Page(id, transport), asked };
}

async function ask(id, body, text = "x", options = {}) {
  const { page, asked } = open(id, options);
  await page.sendMessage({ text }, { body });
  return { ...page.shown(), ...asked };
}

async function stop(id) {
  const { page, asked } = open(id);
  const done = page.sendMessage({ text: "x" }, { body: { model: "demo:endless-100" } });
  await page.text;
  await fetch(`${api}/${asked.run}/stop`, { method: "POST" });
  await done;
  return { ...page.shown(), ...asked };
}

/** What a page shows that comes back to a run by its id, from this chunk on. */
async function from(id, initialStartIndex) {
  const { run, chunks, text, id: message } = await ask(id, { model: "demo:thinking", thinking: true });
  const { page, asked } = open(run, { initialStartIndex });
  await page.resumeStream();
  return { first: { chunks, text, id: message }, again: { ...page.shown(), ...asked } };
}

/** Answers one after the other, over connections that break. */
async function cut(id) {
  const options = { maxConsecutiveErrors: 1000 };
  const shown = [];
  for (let times = 0; times < Number(rest[0]); times += 1) shown.push(await ask(`${id}-${times}`, { model }, "x", options));
  return shown;
}

await print({
  exact: (id) => ask(id, { model: "demo" }, "exact"),
  early_error: (id) => ask(id, { model: "nobody" }),
  late_error: (id) => ask(id, { model: "demo:error-line" }),
  stop,
  whole: (id) => from(id, 0),
  tail: (id) => from(id, -4),
  real: cut,
});
