import { act, cleanup, render, renderHook, screen } from "@testing-library/react";
import { StrictMode, useEffect } from "react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Client, createChat } from "../src/llmstream";
import { useChat, useRun } from "../src/llmstream/react";
import { hasty } from "./collect";
import { LiveRun, serve, stream } from "./server";
import { answering, body, FINISHED, RUN, STARTED, token } from "./streams";

afterEach(cleanup);

// Everything that changes a component here comes from the network, and is waited for.
(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = false;

function Answer({ client }: { client: Client }) {
  const run = useRun(client);
  return (
    <>
      <button type="button" onClick={() => run.start({ question: "Why?" })}>
        Ask
      </button>
      <button type="button" onClick={run.stop}>
        Stop
      </button>
      <p role="status">{run.phase}</p>
      <p data-testid="text">{run.text}</p>
    </>
  );
}

function Shared({ client }: { client: Client }) {
  const { watch, text, phase } = useRun(client);
  useEffect(() => void watch(RUN), [watch]);
  return <p role="status">{`${phase}: ${text}`}</p>;
}

const text = () => screen.getByTestId("text").textContent;
const phase = () => screen.getByRole("status").textContent;
const press = (name: string) => screen.getByRole("button", { name }).click();

describe("useRun", () => {
  it("shows an answer as it grows, and stops it", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    render(<Answer client={hasty(served.url)} />);
    await expect.poll(phase).toBe("idle");
    press("Ask");
    live.add(STARTED, token("Hel"));
    await expect.poll(text).toBe("Hel");
    live.add(token("lo"));
    await expect.poll(text).toBe("Hello");
    press("Stop");
    await expect.poll(phase).toBe("cancelled");
    expect(text()).toBe("Hello");
  });

  it("in StrictMode asks and follows once", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    render(<Answer client={hasty(served.url)} />, { wrapper: StrictMode });
    await expect.poll(phase).toBe("idle");
    press("Ask");
    live.add(STARTED, token("Hi"), FINISHED);
    await expect.poll(phase).toBe("finished");
    expect(served.asked.map(({ what }) => what)).toEqual(["start", "events"]);
  });

  it("in StrictMode shows a run that an effect watches", async () => {
    const served = await serve({ events: stream(body(answering("Hi"))) });
    render(<Shared client={hasty(served.url)} />, { wrapper: StrictMode });
    await expect.poll(phase).toBe("finished: Hi");
    expect(served.of("start")).toEqual([]);
  });

  it("leaves the run alone when its component goes", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const { unmount } = render(<Answer client={hasty(served.url)} />);
    await expect.poll(phase).toBe("idle");
    press("Ask");
    live.add(STARTED, token("Hi"));
    await expect.poll(text).toBe("Hi");
    unmount();
    await expect.poll(() => live.watching).toBe(0);
    expect([live.ended, served.of("stop")]).toEqual([false, []]);
  });

  it("on one run in two places shows the same in both, and stops both", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const client = hasty(served.url);
    const { result: one } = renderHook(() => useRun(client));
    const { result: two } = renderHook(() => useRun(client));
    void one.current.start({ question: "Why?" });
    await expect.poll(() => one.current.runId).toBe(RUN);
    live.add(STARTED, token("Hi"));
    void two.current.watch(RUN);
    await expect.poll(() => [one.current.text, two.current.text]).toEqual(["Hi", "Hi"]);
    void two.current.stop();
    await expect.poll(() => [one.current.phase, two.current.phase]).toEqual(["cancelled", "cancelled"]);
  });

  it("gives functions that stay the same", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const client = hasty(served.url);
    const { result } = renderHook(() => useRun(client));
    const { start, stop, watch, retry, reconnect } = result.current;
    void start({ question: "Why?" });
    live.add(STARTED, FINISHED);
    await expect.poll(() => result.current.phase).toBe("finished");
    expect(result.current).toMatchObject({ start, stop, watch, retry, reconnect });
    expect(result.current.start).toBe(start);
  });
});

describe("when the network comes back", () => {
  it("an interrupted answer goes on by itself", async () => {
    const live = new LiveRun();
    live.add(STARTED, token("Hi"), FINISHED);
    const gone = (response: { socket: { destroy(): void } | null }) => void response.socket?.destroy();
    const served = await serve({ ...live.routes(), events: [gone, gone, live.events] });
    const client = hasty(served.url, { attempts: 1 });
    const { result } = renderHook(() => useRun(client));
    void result.current.start({ question: "Why?" });
    await expect.poll(() => result.current.phase).toBe("lost");
    window.dispatchEvent(new Event("online"));
    await expect.poll(() => result.current).toMatchObject({ phase: "finished", text: "Hi" });
    expect(served.of("start")).toHaveLength(1);
  });

  it("a lost answer whose component is gone is left alone, and nothing of it stays in the page", async () => {
    const added = vi.spyOn(window, "addEventListener");
    const removed = vi.spyOn(window, "removeEventListener");
    const served = await serve({ events: (response) => void response.socket?.destroy() });
    const { result, unmount } = renderHook(() => useRun(hasty(served.url, { attempts: 1 })), { wrapper: StrictMode });
    void result.current.start({ question: "Why?" });
    await expect.poll(() => result.current.phase).toBe("lost");
    unmount();
    const asked = served.asked.length;
    window.dispatchEvent(new Event("online"));
    const online = (calls: unknown[][]) => calls.filter(([type]) => type === "online").map(([, listener]) => listener);
    expect(online(added.mock.calls).length).toBeGreaterThan(0);
    expect(online(removed.mock.calls)).toHaveLength(online(added.mock.calls).length);
    expect(new Set(online(removed.mock.calls))).toEqual(new Set(online(added.mock.calls)));
    expect([result.current.phase, served.asked.length]).toEqual(["lost", asked]);
  });

  it("a pause before the next attempt is cut short", async () => {
    const served = await serve({
      events: [(response) => void response.socket?.destroy(), stream(body(answering("Hi")))],
    });
    // Longer than the test may take.
    const client = hasty(served.url, { maxPauseMs: 8000 });
    const { result } = renderHook(() => useRun(client));
    void result.current.watch(RUN);
    await expect.poll(() => result.current.connection).toBe("reconnecting");
    window.dispatchEvent(new Event("online"));
    await expect.poll(() => result.current.text).toBe("Hi");
  });
});

describe("useChat", () => {
  it("in StrictMode holds a conversation, each question asked once", async () => {
    const served = await serve({ events: stream(body(answering("Hi", "!"))) });
    const chat = createChat({ client: hasty(served.url) });
    const { result } = renderHook(() => useChat(chat), { wrapper: StrictMode });
    for (const question of ["One?", "Two?"]) {
      act(() => void result.current.send(question));
      await expect.poll(() => result.current.busy).toBe(false);
    }
    const said = result.current.messages.map((each) => (each.role === "user" ? each.content : each.run.text));
    expect(said).toEqual(["One?", "Hi!", "Two?", "Hi!"]);
    expect(served.asked.map(({ what }) => what)).toEqual(["start", "events", "start", "events"]);
  });

  it("on a store outlives its component: the answer goes on in the next one", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const chat = createChat({ client: hasty(served.url) });
    const first = renderHook(() => useChat(chat));
    first.result.current.send("One?");
    live.add(STARTED, token("Hi"));
    await expect.poll(() => chat.getSnapshot().messages.at(-1)).toMatchObject({ run: { text: "Hi" } });
    first.unmount();
    await expect.poll(() => live.watching).toBe(0);
    live.add(token(" you"), FINISHED);
    const second = renderHook(() => useChat(chat));
    await expect.poll(() => second.result.current.busy).toBe(false);
    expect(second.result.current.messages.at(-1)).toMatchObject({ run: { phase: "finished", text: "Hi you" } });
    expect([served.of("start").length, served.of("stop").length]).toEqual([1, 0]);
  });
});
