import { describe, expect, it } from "vitest";
import { canContinue, createChat, createRun, type RunStore } from "../src/llmstream";
import { hasty } from "./collect";
import { created, hangUp, LiveRun, type Routes, serve, status, stream } from "./server";
import { body, CANCELLED, events, FAILED, FINISHED, STARTED, token } from "./streams";

const ASKED = { question: "Why?" };
const SECOND = "f".repeat(32);
const KEPT = [STARTED, token("The sky"), { type: "continued" as const, of: "0".repeat(32) }];
const REFUSED = { code: "invalid_request", message: "This chain's answer can't be continued.", retryable: false };

/** A run that was cut, on a server that goes on with it like this. */
async function cutRun(routes: Routes, end = FAILED): Promise<{ run: RunStore; url: string }> {
  const first = stream(body(events(STARTED, token("The sky"), end)));
  const { events: then = [], ...others } = routes;
  const { url } = await serve({ events: [first, ...[then].flat()], ...others });
  const run = createRun(hasty(url));
  await run.start(ASKED);
  return { run, url };
}

describe("an answer that was cut", () => {
  it("goes on as another run, and what there is stays in sight", async () => {
    const live = new LiveRun(SECOND);
    const { run } = await cutRun({ continue: created(SECOND), events: live.events });
    const over = run.continueRun();
    expect(run.getSnapshot()).toMatchObject({ phase: "starting", text: "The sky" });
    expect(run.latest().error).toBeUndefined();
    await expect.poll(() => live.watching).toBe(1);
    expect(run.latest()).toMatchObject({ phase: "running", runId: SECOND, text: "The sky" });
    live.add(...KEPT, { type: "status", state: "loading", detail: "Loading tiny." });
    await expect.poll(() => run.latest().waiting?.state).toBe("loading");
    live.add(token(" is blue."));
    await expect.poll(() => run.latest().text).toBe("The sky is blue.");
    expect(run.latest().waiting).toBeUndefined();
    live.add(FINISHED);
    const parts = [{ kind: "text", text: "The sky is blue." }];
    expect(await over).toMatchObject({ phase: "finished", runId: SECOND, seams: [7], parts });
  });

  it.each([
    ["stopped", CANCELLED, true],
    ["at its limit", { ...FINISHED, reason: "length" as const }, true],
    ["broken off", FAILED, true],
    ["complete", FINISHED, false],
  ] as const)("can be continued where it is %s: %s", async (_, end, can) => {
    const { run } = await cutRun({}, end);
    expect(canContinue(run.latest())).toBe(can);
  });

  it("stays as it was where the server refuses, says why, and can be asked anew", async () => {
    const { run } = await cutRun({ continue: status(422, REFUSED), events: stream(body(events(STARTED, FINISHED))) });
    const before = run.latest();
    const after = await run.continueRun();
    expect(after).toEqual({ ...before, error: REFUSED });
    expect(canContinue(after)).toBe(false);
    expect(await run.continueRun()).toBe(after);
    expect((await run.retry()).phase).toBe("finished");
  });

  it("may be tried again where the server was away", async () => {
    const live = new LiveRun(SECOND);
    live.add(...KEPT, token("."), FINISHED);
    const { run } = await cutRun({ continue: [hangUp, created(SECOND)], events: live.events });
    expect(await run.continueRun()).toMatchObject({ phase: "failed", error: { code: "unreachable" } });
    expect(await run.continueRun()).toMatchObject({ phase: "finished", text: "The sky." });
  });

  it("can be stopped again before it goes on", async () => {
    const live = new LiveRun(SECOND);
    live.add(...KEPT);
    const { run } = await cutRun({ continue: created(SECOND), stop: live.stop, events: live.events });
    const over = run.continueRun();
    await run.stop();
    expect(await over).toMatchObject({ phase: "cancelled", text: "The sky" });
    expect(canContinue(run.latest())).toBe(true);
  });

  it("of a conversation stays the same message", async () => {
    const live = new LiveRun(SECOND);
    live.add(...KEPT, token(" is blue."), FINISHED);
    const first = stream(body(events(STARTED, token("The sky"), FAILED)));
    const { url } = await serve({ continue: created(SECOND), events: [first, live.events] });
    const chat = createChat({ client: hasty(url) });
    chat.subscribe(() => {});
    chat.send("Why?");
    await expect.poll(() => chat.getSnapshot().busy).toBe(false);
    chat.continueRun();
    const told = { id: 2, role: "assistant", run: { phase: "finished", text: "The sky is blue." } };
    await expect.poll(() => chat.getSnapshot().messages).toMatchObject([{ id: 1 }, told]);
  });
});
