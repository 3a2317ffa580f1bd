import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createRun } from "../src/llmstream";
import { createFlush } from "../src/llmstream/flush";
import { hasty } from "./collect";
import { LiveRun, serve } from "./server";
import { FINISHED, STARTED, token } from "./streams";

let frames: FrameRequestCallback[] = [];

/** The browser draws what was asked for. */
function draw(): void {
  const due = frames;
  frames = [];
  for (const frame of due) frame(0);
}

beforeEach(() => {
  frames = [];
});

function withScreen(): void {
  vi.stubGlobal("requestAnimationFrame", (frame: FrameRequestCallback) => frames.push(frame));
  vi.stubGlobal("cancelAnimationFrame", (id: number) => frames.splice(id - 1, 1));
}

afterEach(() => vi.useRealTimers());

describe("what is to be drawn", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    vi.advanceTimersByTime(1000);
  });

  it("is drawn once a frame, however often it changes", () => {
    withScreen();
    const drawn = vi.fn();
    const flush = createFlush(drawn);
    for (let n = 0; n < 100; n += 1) flush.soon();
    expect(drawn).not.toHaveBeenCalled();
    draw();
    expect(drawn).toHaveBeenCalledTimes(1);
    vi.advanceTimersByTime(10_000);
    expect([drawn.mock.calls.length, frames.length]).toEqual([1, 0]);
  });

  it("is drawn at most 67 times a second on a faster screen", () => {
    withScreen();
    const drawn = vi.fn();
    const flush = createFlush(drawn);
    for (let ms = 0; ms < 1000; ms += 4) {
      flush.soon();
      draw();
      vi.advanceTimersByTime(4);
    }
    expect(drawn.mock.calls.length).toBeGreaterThan(55);
    expect(drawn.mock.calls.length).toBeLessThan(68);
  });

  it("waits half a second where the page is hidden and no frames come", () => {
    withScreen();
    const drawn = vi.fn();
    createFlush(drawn).soon();
    vi.advanceTimersByTime(499);
    expect(drawn).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(drawn).toHaveBeenCalledTimes(1);
    expect(frames).toEqual([]);
  });

  it("needs no screen", () => {
    const drawn = vi.fn();
    const flush = createFlush(drawn);
    flush.soon();
    flush.soon();
    vi.advanceTimersByTime(15);
    expect(drawn).toHaveBeenCalledTimes(1);
  });

  it("is drawn at once where that is asked for, and not again", () => {
    withScreen();
    const drawn = vi.fn();
    const flush = createFlush(drawn);
    flush.soon();
    flush.now();
    vi.advanceTimersByTime(10_000);
    expect([drawn.mock.calls.length, frames.length]).toEqual([1, 0]);
  });
});

describe("a run's snapshot", () => {
  it("changes once a frame and at the end, not with every token", async () => {
    withScreen();
    const live = new LiveRun();
    const served = await serve(live.routes());
    const run = createRun(hasty(served.url));
    const texts: string[] = [];
    run.subscribe(() => texts.push(run.getSnapshot().text));
    const over = run.start({ question: "Why?" });
    await expect.poll(() => run.latest().connection).toBe("open");
    // Half a second without a frame would be a hidden page.
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    texts.length = 0;
    live.add(STARTED);
    for (let n = 0; n < 200; n += 1) live.add(token("x"));
    while (run.latest().text.length < 200) await new Promise(setImmediate);
    expect(texts).toEqual([]);
    expect(run.getSnapshot().text).toBe("");
    while (texts.length === 0) {
      draw();
      await new Promise(setImmediate);
    }
    expect(texts).toEqual(["x".repeat(200)]);
    const shown = run.getSnapshot();
    live.add(token("y"), FINISHED);
    await over;
    expect(shown.text).toBe("x".repeat(200)); // never changed in place
    expect(texts).toEqual(["x".repeat(200), `${"x".repeat(200)}y`]);
    expect(run.getSnapshot()).toBe(run.latest());
  });
});
