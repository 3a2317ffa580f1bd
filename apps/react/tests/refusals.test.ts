import { afterEach, describe, expect, it, vi } from "vitest";
import { createClient, createRun } from "../src/llmstream";
import { collect, hasty, refusal } from "./collect";
import { type Answer, hangUp, serve, status, stream } from "./server";
import { answering, body, RUN } from "./streams";

const ANSWER = answering("Hello", " you");
const BUSY = { code: "busy", message: "Too many runs.", retryable: true };

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("a refusal of the events", () => {
  it.each([400, 401, 403, 404, 405, 409, 410, 413, 422])("with %i is final", async (code) => {
    const served = await serve({ events: status(code, { code: "no", message: "Not this.", retryable: false }) });
    const error = await refusal(collect(hasty(served.url)));
    expect(error).toMatchObject({ code: "no", message: "Not this.", retryable: false, status: code });
    expect(served.asked).toHaveLength(1);
  });

  it.each([408, 425, 429, 500, 502, 503, 504])("with %i passes", async (code) => {
    const served = await serve({ events: [status(code, BUSY), status(code), stream(body(ANSWER))] });
    expect(await collect(hasty(served.url))).toEqual(ANSWER);
    expect(served.asked).toHaveLength(3);
  });

  it("with Retry-After is obeyed to the second", async () => {
    let refused = () => {};
    const wasRefused = new Promise<void>((resolve) => {
      refused = resolve;
    });
    const busy: Answer = (response, asked) => {
      response.on("close", refused);
      return status(503, BUSY, { "Retry-After": "7" })(response, asked);
    };
    const served = await serve({ events: [busy, stream(body(ANSWER))] });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const pauses = vi.spyOn(globalThis, "setTimeout");
    const found = collect(hasty(served.url, { silenceMs: 1_000_000 }));
    await wasRefused;
    while (!pauses.mock.calls.some(([, ms]) => ms === 7000)) await new Promise(setImmediate);
    await vi.advanceTimersByTimeAsync(6_999);
    expect(served.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await found).toEqual(ANSWER);
    expect(served.asked).toHaveLength(2);
  });

  it("for ever ends in `lost`", async () => {
    const served = await serve({ events: status(503, BUSY) });
    const error = await refusal(collect(hasty(served.url, { attempts: 3 })));
    expect(error).toMatchObject({ code: "lost", retryable: true });
    expect(served.asked).toHaveLength(4);
  });

  it("by something that is no llmstream server says so", async () => {
    const page: Answer = (response) =>
      void response.writeHead(200, { "Content-Type": "text/html" }).end("<p>Hello</p>");
    const served = await serve({ events: page });
    expect(await refusal(collect(hasty(served.url)))).toMatchObject({ code: "protocol", retryable: false });
    expect(served.asked).toHaveLength(1);
  });

  it.each([
    ["no JSON", "id: 1\ndata: {nonsense\n\n"],
    ["another run's events", body(ANSWER.map((event) => ({ ...event, run: "f".repeat(32) })))],
  ])("is better than %s", async (_, bytes) => {
    const served = await serve({ events: stream(bytes) });
    expect(await refusal(collect(hasty(served.url)))).toMatchObject({ code: "protocol" });
    expect(served.asked).toHaveLength(1);
  });
});

describe("a reset", () => {
  const reset = `: open\nevent: reset\ndata: {"type":"reset","run":"${RUN}","reason":"trimmed"}\n\n`;

  it("begins the answer anew", async () => {
    const half = stream(body(ANSWER.slice(0, 2)));
    const served = await serve({ events: [half, stream(reset), stream(body(ANSWER))] });
    const state = await createRun(hasty(served.url)).start({ question: "Why?" });
    expect(state).toMatchObject({ phase: "finished", text: "Hello you", seq: ANSWER.length, runId: RUN });
    expect(served.of("events").map(({ after }) => after)).toEqual([0, 2, 0]);
  });

  it("to who asked for everything is final, because asking again would not help", async () => {
    const served = await serve({ events: stream(reset) });
    expect(await refusal(collect(hasty(served.url)))).toMatchObject({ code: "protocol", retryable: true });
    expect(served.asked).toHaveLength(1);
  });
});

describe("a refusal of the question", () => {
  it.each([
    ["localhost", "The server answered with status 404. Does llmstream run there?"],
    ["chat.example.com", "The server answered with status 404."],
  ])(
    "that is not the server's own helps a developer, and spares the people of a site: %s",
    async (hostname, message) => {
      vi.stubGlobal("location", { hostname });
      const served = await serve({ start: (response) => void response.writeHead(404).end("<p>Nothing here</p>") });
      const { error } = await createRun(hasty(served.url)).start({ question: "Why?" });
      expect(error).toMatchObject({ code: "http", message, retryable: false });
    },
  );

  it.each([401, 403, 404, 413, 422, 429, 500, 502, 503])("with %i is shown and not repeated", async (code) => {
    const retryable = code >= 429 && code !== 422;
    const served = await serve({ start: status(code, { code: "no", message: "Not now.", retryable }) });
    const state = await createRun(hasty(served.url)).start({ question: "Why?" });
    expect(state).toMatchObject({ phase: "failed", error: { code: "no", message: "Not now.", retryable } });
    expect(served.asked).toHaveLength(1);
  });

  it("by a proxy's page says its status", async () => {
    const served = await serve({ start: status(502) });
    const error = await refusal(hasty(served.url).start({ question: "Why?" }));
    expect(error).toMatchObject({ code: "http", status: 502, retryable: true });
  });

  it("tells when to come back", async () => {
    const served = await serve({ start: status(503, BUSY, { "Retry-After": "3" }) });
    expect(await refusal(hasty(served.url).start({ question: "Why?" }))).toMatchObject({ retryAfterMs: 3000 });
  });

  it("by silence is not repeated, and may be asked again under the same key", async () => {
    const served = await serve({ start: [hangUp, status(201, { run_id: RUN })], events: stream(body(ANSWER)) });
    const run = createRun(hasty(served.url));
    expect(await run.start({ question: "Why?" })).toMatchObject({ phase: "failed", error: { code: "unreachable" } });
    expect(served.asked).toHaveLength(1);
    expect(await run.retry()).toMatchObject({ phase: "finished", text: "Hello you" });
    const [first, again] = served.of("start");
    expect(first?.body.request_id).toMatch(/^[0-9a-f]{32}$/);
    expect(again?.body).toEqual(first?.body);
  });

  it("by nobody, because nobody listens, says so", async () => {
    const error = await refusal(createClient({ url: "http://127.0.0.1:9" }).start({ question: "Why?" }));
    expect(error).toMatchObject({ code: "unreachable", retryable: true });
  });

  it("is told by an answer without a run", async () => {
    const served = await serve({ start: status(200, { hello: "you" }) });
    expect(await refusal(hasty(served.url).start({ question: "Why?" }))).toMatchObject({ code: "protocol" });
  });
});
