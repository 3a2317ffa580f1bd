import { describe, expect, it } from "vitest";
import { type ChatStore, createChat, createRun, type RunState } from "../src/llmstream";
import { hasty } from "./collect";
import { type Answer, created, hangUp, type Served, serve, stream } from "./server";
import { answering, body, events, INTERRUPTED, RUN, STARTED, token } from "./streams";

const SECOND = "f".repeat(32);
const ANSWERS = { i1: { decisions: [{ type: "approve" }] } };
const WAITING = events(STARTED, token("I will send it."), INTERRUPTED);
const SENT = answering("Sent.").map((event) => ({ ...event, run: SECOND }));

/** A graph that asks, and goes on when it is answered. */
const graph = {
  start: [created(), created(SECOND)],
  events: ((response, asked) => stream(body(asked.run === RUN ? WAITING : SENT))(response, asked)) as Answer,
};

function bodies(served: Served): Record<string, unknown>[] {
  return served.of("start").map((each) => each.body);
}

describe("an interrupted run", () => {
  it("is over, says what is asked, and is not asked for again", async () => {
    const served = await serve(graph);
    const run = createRun(hasty(served.url));
    const state = await run.start({ question: "Mail Ann.", thread: "t" });
    const { type: _, ...told } = INTERRUPTED;
    expect(state).toMatchObject({ phase: "interrupted", connection: "closed", text: "I will send it.", ...told });
    await run.stop();
    await run.reconnect();
    expect(served.asked.map(({ what }) => what)).toEqual(["start", "events"]);
  });

  it("is answered by a new run on its thread, asked as the last one was", async () => {
    const served = await serve(graph);
    const run = createRun(hasty(served.url));
    await run.start({ question: "Mail Ann.", thread: "t", model: "tiny" });
    const state = await run.resume(ANSWERS);
    expect(state).toMatchObject({ phase: "finished", text: "Sent.", runId: SECOND });
    expect(state.interrupts).toBeUndefined();
    const [first, second] = bodies(served);
    const { request_id, ...answered } = second ?? {};
    expect(answered).toEqual({ thread: "t", model: "tiny", resume: ANSWERS });
    expect(request_id).not.toBe(first?.request_id);
  });

  it("alone can be answered", async () => {
    const served = await serve({ events: stream(body(answering("Hi"))) });
    const run = createRun(hasty(served.url));
    expect((await run.resume(ANSWERS)).phase).toBe("idle");
    await run.start({ question: "Why?" });
    expect((await run.resume(ANSWERS)).phase).toBe("finished");
    expect(served.of("start")).toHaveLength(1);
  });

  it("whose answer may have got lost is answered again under the same key", async () => {
    const served = await serve({ ...graph, start: [created(), hangUp, created(SECOND)] });
    const run = createRun(hasty(served.url));
    await run.start({ question: "Mail Ann.", thread: "t" });
    expect((await run.resume(ANSWERS)).error?.code).toBe("unreachable");
    expect((await run.retry()).text).toBe("Sent.");
    const [, lost, again] = bodies(served);
    expect(again).toEqual(lost);
  });
});

describe("a conversation with a graph that asks", () => {
  async function chatOn(routes: Parameters<typeof serve>[0]): Promise<[ChatStore, Served]> {
    const served = await serve(routes);
    const chat = createChat({ client: hasty(served.url), threads: true });
    chat.subscribe(() => {});
    return [chat, served];
  }

  async function over(chat: ChatStore, phase: RunState["phase"]): Promise<void> {
    await expect.poll(() => chat.getSnapshot().messages.at(-1)).toMatchObject({ run: { phase } });
  }

  it("goes on with the answers, as one more message on the same thread", async () => {
    const [chat, served] = await chatOn(graph);
    expect(chat.resume(ANSWERS)).toBe(false);
    chat.send("Mail Ann.");
    await over(chat, "interrupted");
    expect(chat.getSnapshot().busy).toBe(false);
    expect(chat.resume(ANSWERS, { model: "tiny" })).toBe(true);
    await over(chat, "finished");
    expect(chat.getSnapshot().messages).toMatchObject([
      { role: "user", content: "Mail Ann." },
      { role: "assistant", run: { phase: "interrupted", text: "I will send it." } },
      { role: "assistant", run: { phase: "finished", text: "Sent." }, answers: ANSWERS },
    ]);
    const [first, second] = bodies(served);
    const { request_id: _, ...answered } = second ?? {};
    expect(answered).toEqual({ thread: first?.thread, model: "tiny", resume: ANSWERS });
    expect(first?.thread).toMatch(/^[0-9a-f]{32}$/);
  });

  it("sends the answers again on retry, and the question where that is asked again", async () => {
    const [chat, served] = await chatOn({
      ...graph,
      start: [created(), created(RUN), created(SECOND), created(SECOND)],
    });
    chat.send("Mail Ann.");
    await over(chat, "interrupted");
    chat.retry();
    await over(chat, "interrupted");
    chat.resume(ANSWERS);
    await over(chat, "finished");
    chat.retry();
    await over(chat, "finished");
    await expect.poll(() => served.of("start")).toHaveLength(4);
    expect(bodies(served).map((each) => each.resume)).toEqual([undefined, undefined, ANSWERS, ANSWERS]);
    expect(chat.getSnapshot().messages).toHaveLength(3);
  });

  it("keeps what an earlier answer said when its question is edited or another is asked", async () => {
    const [chat] = await chatOn({ ...graph, start: [created(), created(SECOND)] });
    chat.send("Mail Ann.");
    await over(chat, "interrupted");
    chat.send("And Bob?");
    await over(chat, "finished");
    chat.edit(3, "And Cid?");
    await over(chat, "finished");
    expect(chat.getSnapshot().messages).toMatchObject([
      { content: "Mail Ann." },
      { run: { phase: "interrupted", text: "I will send it." } },
      { content: "And Cid?" },
      { run: { phase: "finished", text: "Sent." } },
    ]);
  });

  it("has a thread for as long as it lasts, over a reload too, and a new one when it begins anew", async () => {
    const kept = new Map<string, string>();
    const storage = {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
      removeItem: (key: string) => void kept.delete(key),
    };
    const served = await serve({ events: stream(body(answering("Hi"))) });
    const open = () => createChat({ client: hasty(served.url), threads: true, storage });
    const first = open();
    first.subscribe(() => {});
    first.send("One?");
    await over(first, "finished");
    const second = open();
    second.subscribe(() => {});
    second.send("Two?");
    await over(second, "finished");
    second.clear();
    second.send("Three?");
    await over(second, "finished");
    const [one, two, three] = bodies(served).map((each) => each.thread);
    expect([two === one, three === one]).toEqual([true, false]);
  });
});
