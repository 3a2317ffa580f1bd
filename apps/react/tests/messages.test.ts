import { describe, expect, it } from "vitest";
import { createRun, type RunState } from "../src/llmstream";
import { hasty } from "./collect";
import { cut, LiveRun, serve, stream } from "./server";
import { body, events, type Fact, FINISHED, RUN, STARTED, token } from "./streams";

const ASKED = { question: "Why?" };

async function ended(...facts: Fact[]): Promise<RunState> {
  const served = await serve({ events: stream(body(events(STARTED, ...facts, FINISHED))) });
  return await createRun(hasty(served.url)).start(ASKED);
}

function thought(text: string, message: string): Fact {
  return { type: "reasoning", text, message };
}

function call(id: string, message: string): Fact {
  return { type: "tool_call", message, id, name: "look", arguments: {} };
}

describe("several messages in a run", () => {
  it("are parts of their own, with who says them, and a blank line between them in the text", async () => {
    const state = await ended(token("One", "a", "writer"), token(".", "a", "writer"), token("Two.", "b", "critic"));
    expect(state.parts).toEqual([
      { kind: "text", message: "a", name: "writer", text: "One." },
      { kind: "text", message: "b", name: "critic", text: "Two." },
    ]);
    expect(state.text).toBe("One.\n\nTwo.");
  });

  it("are not woven together where they come at the same time", async () => {
    const facts = [token("A", "a"), token("B", "b"), thought("Hm", "c"), token("a", "a"), token("b", "b")];
    const state = await ended(...facts, thought("m.", "c"), token("C", "c"), token("!", "a"));
    expect(state.text).toBe("Aa!\n\nBb\n\nC");
    expect(state.parts).toEqual([
      { kind: "text", message: "a", text: "Aa!" },
      { kind: "text", message: "b", text: "Bb" },
      { kind: "reasoning", message: "c", text: "Hmm.", open: false },
      { kind: "text", message: "c", text: "C" },
    ]);
  });

  it("have no blank line within one, also around a call", async () => {
    const state = await ended(token("I look", "a"), call("1", "a"), token(" it up.", "a"), token("Found.", "b"));
    expect(state.text).toBe("I look it up.\n\nFound.");
    expect(state.parts.map(({ kind }) => kind)).toEqual(["text", "tool", "text", "text"]);
  });

  it("are one with what has no message, where there is only one", async () => {
    expect((await ended(token("One"), token(" two"))).parts).toEqual([{ kind: "text", text: "One two" }]);
  });
});

describe("a message that is withdrawn", () => {
  it("goes with its text, its thoughts, its calls and its sources, and the others stay as they are", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const run = createRun(hasty(served.url));
    const over = run.start(ASKED);
    const sources: Fact = { type: "data", name: "sources", value: [{ title: "Sky" }], message: "b" };
    live.add(STARTED, token("Kept.", "a"), sources, thought("Hm", "b"), token("Draft", "b"), call("1", "b"));
    await expect.poll(() => run.latest().text).toBe("Kept.\n\nDraft");
    const [kept] = run.latest().parts;
    live.add({ type: "withdrawn", message: "b" });
    await expect.poll(() => run.latest().text).toBe("Kept.");
    expect(run.latest().parts).toEqual([{ kind: "text", message: "a", text: "Kept." }]);
    expect(run.latest().parts[0]).toBe(kept);
    live.add(token("Final.", "c"), FINISHED);
    expect((await over).text).toBe("Kept.\n\nFinal.");
  });

  it("may be the only one, and of one that nobody has nothing is missing", async () => {
    const state = await ended(token("Draft", "a"), { type: "withdrawn", message: "a" });
    expect(state).toMatchObject({ phase: "finished", text: "", parts: [] });
    expect((await ended(token("One"), { type: "withdrawn", message: "x" })).text).toBe("One");
  });

  it("is withdrawn once, wherever the connection was cut", async () => {
    const all = events(
      STARTED,
      token("Draft", "a"),
      { type: "withdrawn", message: "a" },
      token("Final", "b"),
      FINISHED,
    );
    for (let seq = 0; seq < all.length; seq += 1) {
      const served = await serve({
        events: [cut(body(all.slice(0, seq))), (response, asked) => stream(body(all, asked.after))(response, asked)],
      });
      const state = await createRun(hasty(served.url)).watch(RUN);
      expect(state).toMatchObject({ phase: "finished", text: "Final", seq: all.length });
    }
  });
});
