import { beforeEach, describe, expect, it } from "vitest";
import { type ChatStore, createChat, type RunState } from "../src/llmstream";
import { hasty } from "./collect";
import { created, hangUp, LiveRun, type Served, serve, stream } from "./server";
import { answering, body, FINISHED, STARTED, token } from "./streams";

const KEY = "llmstream";
const HI = stream(body(answering("Hi")));

beforeEach(() => sessionStorage.clear());

function open(served: Served): ChatStore {
  return createChat({ client: hasty(served.url, { attempts: 1 }), storage: sessionStorage });
}

function answer(chat: ChatStore): RunState | undefined {
  const last = chat.getSnapshot().messages.at(-1);
  return last?.role === "assistant" ? last.run : undefined;
}

/** Leaves the page, as a reload does. */
function leave(off: () => void): void {
  window.dispatchEvent(new Event("pagehide"));
  off();
}

describe("after a reload", () => {
  it("a finished conversation is there as it was, and nothing is asked", async () => {
    const served = await serve({ events: HI });
    const before = open(served);
    before.subscribe(() => {});
    before.send("One?");
    await expect.poll(() => answer(before)?.phase).toBe("finished");
    const asked = served.asked.length;
    const after = open(served);
    after.subscribe(() => {});
    expect(after.getSnapshot()).toEqual(before.getSnapshot());
    expect(served.asked).toHaveLength(asked);
  });

  it("an answer under way goes on after what the page had, as the same run", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const before = open(served);
    const off = before.subscribe(() => {});
    before.send("One?");
    live.add(STARTED, token("Hi"));
    await expect.poll(() => answer(before)?.text).toBe("Hi");
    leave(off);
    const after = open(served);
    expect([after.getSnapshot().busy, answer(after)?.text]).toEqual([true, "Hi"]);
    after.subscribe(() => {});
    live.add(token(" you"), FINISHED);
    await expect.poll(() => answer(after)).toMatchObject({ phase: "finished", text: "Hi you" });
    expect(served.of("start")).toHaveLength(1);
    expect(served.of("events").map((each) => each.after)).toEqual([0, 2]);
  });

  it("an interrupted answer is tried again", async () => {
    const live = new LiveRun();
    live.add(STARTED, token("Hi"), FINISHED);
    const served = await serve({ ...live.routes(), events: [hangUp, hangUp, live.events] });
    const before = open(served);
    const off = before.subscribe(() => {});
    before.send("One?");
    await expect.poll(() => answer(before)?.phase).toBe("lost");
    leave(off);
    const after = open(served);
    after.subscribe(() => {});
    await expect.poll(() => answer(after)).toMatchObject({ phase: "finished", text: "Hi" });
    expect(answer(after)?.error).toBeUndefined();
    expect(served.of("start")).toHaveLength(1);
  });

  it("a question that had not reached the server says so, and can be asked again", async () => {
    const served = await serve({ start: [() => {}, created()], events: HI });
    const before = open(served);
    const off = before.subscribe(() => {});
    before.send("One?");
    await expect.poll(() => served.of("start")).toHaveLength(1);
    leave(off);
    const after = open(served);
    after.subscribe(() => {});
    expect(answer(after)).toMatchObject({ phase: "failed", error: { code: "lost", retryable: true } });
    after.retry();
    await expect.poll(() => answer(after)).toMatchObject({ phase: "finished", text: "Hi" });
  });

  it("a question that found no server can be asked again", async () => {
    const served = await serve({ start: [hangUp, created()], events: HI });
    const before = open(served);
    const off = before.subscribe(() => {});
    before.send("One?");
    await expect.poll(() => answer(before)?.error?.code).toBe("unreachable");
    leave(off);
    const after = open(served);
    after.subscribe(() => {});
    after.retry();
    await expect.poll(() => answer(after)).toMatchObject({ phase: "finished", text: "Hi" });
  });

  it("a cleared conversation is gone", async () => {
    const served = await serve({ events: HI });
    const before = open(served);
    before.subscribe(() => {});
    before.send("One?");
    await expect.poll(() => answer(before)?.phase).toBe("finished");
    before.clear();
    expect(sessionStorage.getItem(KEY)).toBeNull();
    expect(open(served).getSnapshot().messages).toEqual([]);
  });
});

describe("a storage", () => {
  it.each(["", "nonsense", "null", "7", '{"a":1}', "[1]", "[null]", '[{"role":"assistant"}]', '[{"role":"user"}]'])(
    "with %j in it is begun anew",
    async (text) => {
      sessionStorage.setItem(KEY, text);
      const served = await serve({ events: HI });
      const chat = open(served);
      chat.subscribe(() => {});
      expect(chat.getSnapshot()).toEqual({ messages: [], busy: false });
    },
  );

  it("that is forbidden or full takes nothing from the conversation", async () => {
    const no = () => {
      throw new DOMException("no", "SecurityError");
    };
    const served = await serve({ events: HI });
    const chat = createChat({ client: hasty(served.url), storage: { getItem: no, setItem: no, removeItem: no } });
    chat.subscribe(() => {});
    chat.send("One?");
    await expect.poll(() => answer(chat)?.text).toBe("Hi");
  });
});
