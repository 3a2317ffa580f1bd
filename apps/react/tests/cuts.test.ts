import { describe, expect, it, vi } from "vitest";
import { type Connection, createRun, LlmstreamError, type RunState } from "../src/llmstream";
import { isTerminal } from "../src/llmstream/events";
import { applyEvents, IDLE } from "../src/llmstream/state";
import { collect, hasty, refusal } from "./collect";
import { type Answer, cut, hangUp, serve, stream, stuck } from "./server";
import { answering, body, CANCELLED, events, FAILED, RUN, STARTED, token } from "./streams";

const ANSWER = answering("Hë", "\n", " 👩‍👧");
const TEXT = "Hë\n 👩‍👧";

const encoder = new TextEncoder();
/** Goes on after what the client has. */
const rest: Answer = (response, asked) => stream(body(ANSWER, asked.after))(response, asked);

describe("a cut", () => {
  it("at any byte loses nothing and repeats nothing", async () => {
    const bytes = encoder.encode(body(ANSWER));
    async function cutAt(at: number): Promise<void> {
      const served = await serve({ events: [cut(bytes.subarray(0, at)), rest] });
      const found = await collect(hasty(served.url));
      expect(found, `cut after ${at} bytes`).toEqual(ANSWER);
      expect(served.asked, `cut after ${at} bytes`).toHaveLength(at < bytes.length ? 2 : 1);
      expect(applyEvents(IDLE, found).text).toBe(TEXT);
      expect(found.filter(isTerminal)).toHaveLength(1);
    }
    for (let at = 0; at <= bytes.length; at += 16) {
      await Promise.all(Array.from({ length: Math.min(16, bytes.length + 1 - at) }, (_, more) => cutAt(at + more)));
    }
  });

  it("that comes as a clean end in the middle is none the less a cut", async () => {
    for (let seq = 0; seq < ANSWER.length; seq += 1) {
      const served = await serve({ events: [stream(body(ANSWER.slice(0, seq))), rest] });
      expect(await collect(hasty(served.url))).toEqual(ANSWER);
      expect(served.asked.map(({ after }) => after)).toEqual([0, seq]);
    }
  });

  it("after every single event is survived, however small the patience", async () => {
    const one: Answer = (response, asked) => cut(body(ANSWER.slice(0, asked.after + 1), asked.after))(response, asked);
    const served = await serve({ events: one });
    expect(await collect(hasty(served.url, { attempts: 1 }))).toEqual(ANSWER);
    expect(served.asked.map(({ after }) => after)).toEqual([0, 1, 2, 3, 4]);
  });

  it("before any answer is survived", async () => {
    const served = await serve({ events: [hangUp, hangUp, rest] });
    expect(await collect(hasty(served.url))).toEqual(ANSWER);
  });

  it("after the end changes nothing", async () => {
    const served = await serve({ events: cut(body(ANSWER)) });
    expect(await collect(hasty(served.url))).toEqual(ANSWER);
    expect(served.asked).toHaveLength(1);
  });

  it("is shown while it lasts", async () => {
    const seen: Connection[] = [];
    const served = await serve({ events: [cut(body(ANSWER.slice(0, 2))), rest] });
    const following = hasty(served.url).follow(RUN, { onConnection: (connection) => seen.push(connection) });
    for await (const _ of following);
    expect(seen).toEqual(["connecting", "open", "reconnecting", "open"]);
  });

  it("that lasts ends in `lost`, and then it can be gone on with", async () => {
    const half = cut(body(ANSWER.slice(0, 3)));
    const served = await serve({ events: [half, hangUp, hangUp, rest] });
    const run = createRun(hasty(served.url, { attempts: 2 }));
    const broken = await run.start({ question: "Why?" });
    expect(broken).toMatchObject({ phase: "lost", text: "Hë\n", connection: "closed" });
    expect(broken.error).toMatchObject({ code: "lost", retryable: true });
    expect(await run.reconnect()).toMatchObject({ phase: "finished", text: TEXT, seq: ANSWER.length });
    expect((await run.reconnect()).error).toBeUndefined();
    expect(served.asked.map(({ what, after }) => `${what} ${after}`)).toEqual([
      "start 0",
      ...["events 0", "events 3", "events 3", "events 3"],
    ]);
  });
});

describe("silence", () => {
  it("is taken for a cut", async () => {
    const served = await serve({ events: [stuck(body(ANSWER.slice(0, 2))), rest] });
    expect(await collect(hasty(served.url, { silenceMs: 500 }))).toEqual(ANSWER);
    expect(served.asked.map(({ after }) => after)).toEqual([0, 2]);
  });

  it("before the headers too, and the dead connection is given up", async () => {
    const nothing: Answer = () => {};
    const served = await serve({ events: [nothing, rest] });
    expect(await collect(hasty(served.url, { silenceMs: 50 }))).toEqual(ANSWER);
    await expect.poll(() => served.asked[0]?.left).toBe(true);
  });

  it("for ever ends in `lost`", async () => {
    const served = await serve({ events: stuck() });
    const asks = vi.fn(fetch); // a busy server may not hear of one that is given up after 20 ms
    const error = await refusal(collect(hasty(served.url, { silenceMs: 20, attempts: 2, fetch: asks })));
    expect(error).toBeInstanceOf(LlmstreamError);
    expect(error).toMatchObject({ code: "lost", retryable: true });
    expect(asks).toHaveBeenCalledTimes(3);
  });
});

describe("a run that does not finish", () => {
  it.each([
    ["failed", events(STARTED, token("Hal"), FAILED)],
    ["cancelled", events(STARTED, token("Hal"), CANCELLED)],
  ] as const)("is %s, with what came", async (phase, all) => {
    const served = await serve({ events: stream(body(all)) });
    const state = await createRun(hasty(served.url)).start({ question: "Why?" });
    expect(state).toMatchObject({ phase, text: "Hal", connection: "closed" });
    expect(state.error?.code).toBe(phase === "failed" ? "upstream_truncated" : undefined);
    expect(state.cancelledBy).toBe(phase === "cancelled" ? "stop" : undefined);
  });

  it("is never shown as finished, wherever its stream ends", async () => {
    for (let seq = 0; seq < ANSWER.length; seq += 1) {
      const phases = new Set<RunState["phase"]>();
      const served = await serve({ events: stream(body(ANSWER.slice(0, seq))) });
      const run = createRun(hasty(served.url, { attempts: 1 }));
      run.subscribe(() => phases.add(run.getSnapshot().phase));
      expect(await run.start({ question: "Why?" })).toMatchObject({ phase: "lost", seq });
      expect([...phases]).toEqual(["starting", "running", "lost"]);
    }
  });
});
