import { describe, expect, it, vi } from "vitest";
import { announcement, createRun, type RunStore, whyIncomplete } from "../src/llmstream";
import { hasty } from "./collect";
import { type Answer, created, hangUp, LiveRun, serve, status, stream } from "./server";
import {
  answering,
  body,
  CANCELLED,
  events,
  FAILED,
  type Fact,
  FINISHED,
  INTERRUPTED,
  RUN,
  STARTED,
  token,
} from "./streams";

const ASKED = { question: "Why?" };

async function until(run: RunStore, text: string): Promise<void> {
  await expect.poll(() => run.latest().text).toBe(text);
}

describe("a run", () => {
  it("goes from nothing over its parts to its end", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const run = createRun(hasty(served.url));
    expect([run.latest().phase, announcement(run.latest())]).toEqual(["idle", ""]);
    const over = run.start(ASKED);
    expect(run.getSnapshot()).toMatchObject({ phase: "starting", connection: "connecting" });
    const wait = { state: "loading", detail: "Loading tiny.", eta_s: 7, progress: 0.3, tokens: 90 } as const;
    live.add(STARTED, { type: "status", ...wait });
    await expect.poll(() => run.latest().waiting).toEqual(wait);
    expect(run.latest()).toMatchObject({ phase: "running", connection: "open", model: "tiny" });
    live.add({ type: "reasoning", text: "Hm" }, { type: "reasoning", text: "m." });
    await expect.poll(() => run.latest().parts).toEqual([{ kind: "reasoning", text: "Hmm.", open: true }]);
    expect(run.latest().waiting).toBeUndefined();
    live.add({ type: "tool_call", id: "c", name: "look", arguments: { at: "it" } });
    live.add({ type: "tool_result", id: "c", output: 7 }, { type: "tool_result", id: "?", output: 8 });
    live.add({ type: "data", name: "sources", value: [{ title: "A" }] }, { type: "data", name: "cost", value: 1 });
    for (const value of [{ a: 1 }, { a: 1, b: 2 }]) live.add({ type: "data", name: "output", value });
    live.add({ type: "status", state: "prompt_truncated" }, token("So."), FINISHED);
    expect(await over).toEqual({
      phase: "finished",
      connection: "closed",
      runId: RUN,
      seq: 14,
      model: "tiny",
      text: "So.",
      promptTruncated: true,
      reason: "stop",
      usage: { input_tokens: 1, output_tokens: 2 },
      timings: { total_s: 0.5 },
      parts: [
        { kind: "reasoning", text: "Hmm.", open: false },
        { kind: "tool", id: "c", name: "look", arguments: { at: "it" }, output: 7, open: false },
        { kind: "tool", id: "?", name: "tool", output: 8, open: false },
        { kind: "sources", sources: [{ title: "A" }] },
        { kind: "data", name: "cost", value: 1 },
        { kind: "data", name: "output", value: { a: 1, b: 2 } },
        { kind: "text", text: "So." },
      ],
    });
  });

  it.each([
    ["finished", FINISHED, "The answer is complete.", ""],
    ["finished", { ...FINISHED, reason: "other" }, "The answer is complete.", ""],
    ["finished", { ...FINISHED, reason: "length" }, "The answer was cut at its length limit."],
    ["finished", { ...FINISHED, reason: "content_filter" }, "The answer was cut by a content filter."],
    ["finished", { ...FINISHED, reason: "tool_calls" }, "The model asks for a tool, and nothing here calls it."],
    ["failed", FAILED, "The answer is not complete.", "It broke off."],
    ["cancelled", CANCELLED, "The answer was stopped."],
    ["cancelled", { ...CANCELLED, by: "left" }, "The answer was stopped: nobody was reading it."],
    ["cancelled", { ...CANCELLED, by: "replaced" }, "The answer was replaced by a newer question."],
    ["interrupted", INTERRUPTED, "An answer from you is needed.", "The answer waits for you."],
  ] as [string, Fact, string, string?][])(
    "that is %s is told to be what it is",
    async (phase, last, said, why = said) => {
      const served = await serve({ events: stream(body(events(STARTED, last))) });
      const state = await createRun(hasty(served.url)).start(ASKED);
      expect([state.phase, announcement(state), whyIncomplete(state)]).toEqual([phase, said, why]);
    },
  );

  it("is asked once, under one key, through cuts and failures", async () => {
    const live = new LiveRun();
    const served = await serve({ ...live.routes(), events: [hangUp, status(502), live.events] });
    const run = createRun(hasty(served.url));
    const over = run.start(ASKED);
    live.add(STARTED, token("Hi"));
    await until(run, "Hi");
    live.cut();
    live.add(token(" you"), FINISHED);
    expect((await over).text).toBe("Hi you");
    expect(served.of("start")).toHaveLength(1);
  });

  it("that ended is not followed again, and stays what it was", async () => {
    for (const last of [FINISHED, FAILED, CANCELLED, INTERRUPTED]) {
      const all = events(STARTED, token("Hi"), last);
      const served = await serve({ events: [stream(body(all)), status(204)] });
      const run = createRun(hasty(served.url));
      const over = await run.watch(RUN);
      run.subscribe(() => {})();
      await run.stop();
      await run.reconnect();
      expect(served.asked).toHaveLength(1);
      expect(await run.watch(RUN, over)).toEqual(over);
    }
  });

  it("of which the server knows no more, but not how it ended, is not shown as finished", async () => {
    const served = await serve({ events: status(204) });
    const state = await createRun(hasty(served.url)).watch(RUN);
    expect(state).toMatchObject({
      phase: "failed",
      connection: "closed",
      error: { code: "protocol", retryable: true },
    });
  });

  it("that is followed by another question is left alone, and says nothing more", async () => {
    const [one, two] = [new LiveRun(), new LiveRun("f".repeat(32))];
    const which = (asked: { run: string }) => (asked.run === RUN ? one : two);
    const served = await serve({
      start: [created(one.run), created(two.run)],
      events: (response, asked) => which(asked).events(response, asked),
    });
    const run = createRun(hasty(served.url));
    const first = run.start(ASKED);
    one.add(STARTED, token("One"));
    await until(run, "One");
    const second = run.start({ question: "And?" });
    await first;
    await expect.poll(() => one.watching).toBe(0);
    two.add(STARTED, token("Two"), FINISHED);
    expect(await second).toMatchObject({ phase: "finished", text: "Two", runId: two.run });
    expect(served.of("stop")).toEqual([]);
  });
});

describe("stop", () => {
  it("in the middle ends the run at the server and keeps what came", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const run = createRun(hasty(served.url));
    const over = run.start(ASKED);
    live.add(STARTED, token("Hal"));
    await until(run, "Hal");
    await run.stop();
    expect(await over).toMatchObject({ phase: "cancelled", text: "Hal", cancelledBy: "stop" });
    expect(live.ended).toBe(true);
  });

  it("before the first token does too", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const run = createRun(hasty(served.url));
    const over = run.start(ASKED);
    live.add(STARTED);
    await expect.poll(() => run.latest().seq).toBe(1);
    await run.stop();
    expect(await over).toMatchObject({ phase: "cancelled", text: "" });
  });

  it("before the server has named the run ends the answer at once, and the run once it has", async () => {
    const live = new LiveRun();
    let go = () => {};
    const late: Answer = (response, asked) => {
      go = () => void created()(response, asked);
    };
    const served = await serve({ ...live.routes(), start: late });
    const run = createRun(hasty(served.url));
    const over = run.start(ASKED);
    await expect.poll(() => served.of("start")).toHaveLength(1);
    await run.stop();
    expect(await over).toMatchObject({ phase: "cancelled", cancelledBy: "stop" });
    expect(run.getSnapshot().stopping).toBeUndefined();
    live.add(STARTED);
    go();
    await expect.poll(() => live.ended).toBe(true);
    // What is asked again then is another run.
    void run.retry();
    await expect.poll(() => new Set(served.of("start").map((each) => each.body.request_id)).size).toBe(2);
  });

  it("where the question gets lost is no failure", async () => {
    let go = () => {};
    const lost: Answer = (response, asked) => {
      go = () => void hangUp(response, asked);
    };
    const served = await serve({ start: lost });
    const run = createRun(hasty(served.url));
    const over = run.start(ASKED);
    await expect.poll(() => served.of("start")).toHaveLength(1);
    await run.stop();
    expect(await over).toMatchObject({ phase: "cancelled", cancelledBy: "stop" });
    go();
    await expect.poll(() => run.getSnapshot().stopping).toBe(true);
    expect(run.getSnapshot()).toMatchObject({ phase: "cancelled" });
  });

  it("that can't be told none the less ends the answer here", async () => {
    const live = new LiveRun();
    const served = await serve({ ...live.routes(), stop: hangUp });
    const run = createRun(hasty(served.url));
    const over = run.start(ASKED);
    live.add(STARTED, { type: "reasoning", text: "Hm" });
    await expect.poll(() => run.latest().parts).toHaveLength(1);
    await run.stop();
    expect(await over).toMatchObject({ phase: "cancelled", parts: [{ text: "Hm", open: false }] });
    await expect.poll(() => live.watching).toBe(0);
  });

  it("while the server is away ends the answer here, says so, and is told when the server is back", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const run = createRun(hasty(served.url, { maxPauseMs: 50, attempts: 100 }));
    const over = run.start(ASKED);
    live.add(STARTED, token("Hal"));
    await until(run, "Hal");
    await served.goAway();
    const told = run.stop();
    expect(run.getSnapshot().stopping).toBe(true);
    expect(await over).toMatchObject({ phase: "cancelled", text: "Hal", cancelledBy: "stop", stopping: true });
    expect(live.ended).toBe(false);
    await served.comeBack();
    await told;
    expect([live.ended, run.getSnapshot().phase]).toEqual([true, "cancelled"]);
  });

  it("that nobody answers is told again, also after another question", async () => {
    const live = new LiveRun();
    const served = await serve({ ...live.routes(), stop: [() => {}, live.stop] });
    const run = createRun(hasty(served.url, { stopMs: 50 }));
    const over = run.start(ASKED);
    live.add(STARTED, token("Hal"));
    await until(run, "Hal");
    const told = run.stop();
    expect(await over).toMatchObject({ phase: "cancelled", stopping: true });
    void run.start(ASKED);
    await told;
    expect([live.ended, served.of("stop").length]).toEqual([true, 2]);
  });

  it("of an interrupted run ends it, with what the server has of it", async () => {
    const live = new LiveRun();
    live.add(STARTED, token("Hal"));
    const served = await serve({ ...live.routes(), events: [hangUp, hangUp, live.events] });
    const run = createRun(hasty(served.url, { attempts: 1 }));
    expect((await run.start(ASKED)).phase).toBe("lost");
    await run.stop();
    expect(run.latest()).toMatchObject({ phase: "cancelled", text: "Hal", cancelledBy: "stop" });
  });
});

describe("who watches", () => {
  it("may leave and come back without the run being stopped or asked again", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const run = createRun(hasty(served.url));
    const leave = run.subscribe(() => {});
    void run.start(ASKED);
    live.add(STARTED, token("One"));
    await until(run, "One");
    leave();
    await expect.poll(() => live.watching).toBe(0);
    live.add(token(" two"));
    const seen = vi.fn();
    run.subscribe(seen);
    await until(run, "One two");
    live.add(FINISHED);
    await expect.poll(() => run.getSnapshot().phase).toBe("finished");
    expect(seen).toHaveBeenCalled();
    expect(served.asked.map(({ what, after }) => `${what} ${after}`)).toEqual(["start 0", "events 0", "events 2"]);
  });

  it("may leave before the run has a name and be back after", async () => {
    const live = new LiveRun();
    let go = () => {};
    const late: Answer = (response, asked) => {
      go = () => void created()(response, asked);
    };
    const served = await serve({ ...live.routes(), start: late });
    const run = createRun(hasty(served.url));
    const leave = run.subscribe(() => {});
    const over = run.start(ASKED);
    await expect.poll(() => served.of("start")).toHaveLength(1);
    leave();
    await new Promise((resolve) => setTimeout(resolve));
    run.subscribe(() => {});
    go();
    live.add(...answering("Hi").map(({ seq: _, run: __, ...fact }) => fact as typeof STARTED));
    expect(await over).toMatchObject({ phase: "finished", text: "Hi" });
  });
});
