import { describe, expect, it } from "vitest";
import { type ChatOptions, type ChatStore, createChat, type RunState } from "../src/llmstream";
import { hasty } from "./collect";
import { created, hangUp, LiveRun, type Routes, type Served, serve, status, stream } from "./server";
import { answering, body, FINISHED, RUN, STARTED, token } from "./streams";

/** A chat that somebody looks at. */
async function chatOn(routes: Routes, options: Partial<ChatOptions> = {}): Promise<[ChatStore, Served]> {
  const served = await serve(routes);
  const chat = createChat({ client: hasty(served.url, { attempts: 2 }), ...options });
  chat.subscribe(() => {});
  return [chat, served];
}

function answer(chat: ChatStore): RunState | undefined {
  const last = chat.getSnapshot().messages.at(-1);
  return last?.role === "assistant" ? last.run : undefined;
}

async function over(chat: ChatStore, phase: RunState["phase"] = "finished"): Promise<void> {
  await expect.poll(() => answer(chat)?.phase).toBe(phase);
}

/** What was said, by both. */
function said(chat: ChatStore): string[] {
  return chat.getSnapshot().messages.map((each) => (each.role === "user" ? each.content : each.run.text));
}

const saysHi = { events: stream(body(answering("Hi", "!"))) };

describe("a conversation", () => {
  it("is sent whole with each question, one answer at a time", async () => {
    const [chat, served] = await chatOn(saysHi, { system: "Be short." });
    expect(chat.send("One?", { model: "tiny", thinking: false, inputs: { language: "de" } })).toBe(true);
    expect([chat.getSnapshot().busy, chat.send("Not yet?")]).toEqual([true, false]);
    await over(chat);
    expect([chat.getSnapshot().busy, chat.send("  \n")]).toEqual([false, false]);
    chat.send("Two?");
    await over(chat);
    expect(said(chat)).toEqual(["One?", "Hi!", "Two?", "Hi!"]);
    const [first, second] = served.of("start").map((each) => each.body);
    expect(first).toMatchObject({ model: "tiny", thinking: false, inputs: { language: "de" } });
    expect(second).not.toHaveProperty("inputs");
    expect(second.messages).toEqual([
      { role: "system", content: "Be short." },
      { role: "user", content: "One?" },
      { role: "assistant", content: "Hi!" },
      { role: "user", content: "Two?" },
    ]);
    expect(second.request_id).not.toBe(first.request_id);
  });

  it("keeps the messages that do not change as they are", async () => {
    const [chat] = await chatOn(saysHi);
    chat.send("One?");
    await over(chat);
    const before = chat.getSnapshot().messages;
    chat.send("Two?");
    await over(chat);
    const after = chat.getSnapshot().messages;
    expect([after[0] === before[0], after[1] === before[1]]).toEqual([true, true]);
    expect(new Set(after.map(({ id }) => id)).size).toBe(4);
  });

  it("can be stopped, and what came stays and is sent with the next question", async () => {
    const live = new LiveRun();
    live.add(STARTED, token("Hal"));
    const [chat, served] = await chatOn(live.routes());
    chat.send("One?");
    await expect.poll(() => answer(chat)?.text).toBe("Hal");
    await chat.stop();
    await over(chat, "cancelled");
    chat.send("Two?");
    await expect.poll(() => served.of("start")).toHaveLength(2);
    expect(served.of("start")[1]?.body.messages[1]).toEqual({ role: "assistant", content: "Hal" });
  });

  it("can be cleared, which stops the answer under way", async () => {
    const live = new LiveRun();
    live.add(STARTED, token("Hal"));
    const [chat] = await chatOn(live.routes());
    chat.send("One?");
    await expect.poll(() => answer(chat)?.text).toBe("Hal");
    chat.clear();
    expect(chat.getSnapshot()).toEqual({ messages: [], busy: false });
    await expect.poll(() => live.ended).toBe(true);
    expect(chat.getSnapshot().messages).toEqual([]);
  });

  it("shows a run that was started elsewhere", async () => {
    const [chat, served] = await chatOn(saysHi);
    chat.watch(RUN);
    await over(chat);
    expect(said(chat)).toEqual(["Hi!"]);
    chat.retry();
    expect([said(chat), served.of("start")]).toEqual([["Hi!"], []]);
  });

  it("that ends while nobody looks is up to date for who comes next", async () => {
    const live = new LiveRun();
    const served = await serve({ ...live.routes(), stop: hangUp });
    const chat = createChat({ client: hasty(served.url) });
    const leave = chat.subscribe(() => {});
    chat.send("One?");
    live.add(STARTED, token("Hi"));
    await expect.poll(() => answer(chat)?.text).toBe("Hi");
    leave();
    await chat.stop();
    chat.subscribe(() => {});
    await over(chat, "cancelled");
    expect([chat.getSnapshot().busy, answer(chat)?.stopping]).toEqual([false, true]);
  });
});

describe("retry", () => {
  it("asks the last question again, as a new run", async () => {
    const failed = status(503, { code: "busy", message: "Too many.", retryable: true });
    const [chat, served] = await chatOn({ start: [failed, created()], ...saysHi });
    chat.send("One?", { model: "a" });
    await over(chat, "failed");
    chat.retry({ model: "b" });
    await over(chat);
    expect(said(chat)).toEqual(["One?", "Hi!"]);
    const [first, second] = served.of("start").map((each) => each.body);
    expect([second.messages, second.model]).toEqual([first.messages, "b"]);
    expect(second.request_id).not.toBe(first.request_id);
  });

  it("of a question that may have got lost starts at most one run", async () => {
    const [chat, served] = await chatOn({ start: [hangUp, created()], ...saysHi });
    chat.send("One?");
    await over(chat, "failed");
    chat.retry();
    await over(chat);
    expect(said(chat)).toEqual(["One?", "Hi!"]);
    const [first, second] = served.of("start").map((each) => each.body);
    expect(second).toEqual(first);
  });

  it("does nothing while an answer is under way, or where there is none", async () => {
    const live = new LiveRun();
    const [chat, served] = await chatOn(live.routes());
    chat.retry();
    expect(chat.getSnapshot().messages).toEqual([]);
    chat.send("One?");
    chat.retry();
    live.add(STARTED, token("Hi"), FINISHED);
    await over(chat);
    expect(served.of("start")).toHaveLength(1);
  });
});

describe("edit", () => {
  it("replaces a question and drops what came after it", async () => {
    const [chat, served] = await chatOn(saysHi);
    for (const question of ["One?", "Two?"]) {
      chat.send(question);
      await over(chat);
    }
    const [first, reply] = chat.getSnapshot().messages;
    expect([chat.edit(99, "x"), chat.edit(reply?.id ?? 0, "x"), chat.edit(first?.id ?? 0, " ")]).toEqual([
      false,
      false,
      false,
    ]);
    expect(said(chat)).toHaveLength(4);
    expect(chat.edit(first?.id ?? 0, "Uno?")).toBe(true);
    await over(chat);
    expect(said(chat)).toEqual(["Uno?", "Hi!"]);
    expect(served.of("start").at(-1)?.body.messages).toEqual([{ role: "user", content: "Uno?" }]);
  });
});

describe("reconnect", () => {
  it("goes on with an answer whose connection was lost", async () => {
    const live = new LiveRun();
    live.add(STARTED, token("Hi"), FINISHED);
    const [chat, served] = await chatOn({ ...live.routes(), events: [hangUp, hangUp, hangUp, live.events] });
    chat.send("One?");
    await over(chat, "lost");
    expect(chat.getSnapshot().busy).toBe(false);
    chat.reconnect();
    expect(chat.getSnapshot().busy).toBe(true);
    await over(chat);
    expect([said(chat), served.of("start").length]).toEqual([["One?", "Hi"], 1]);
  });
});
