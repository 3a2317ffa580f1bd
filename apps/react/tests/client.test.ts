import { describe, expect, it } from "vitest";
import { createClient } from "../src/llmstream";
import { collect, hasty } from "./collect";
import { LiveRun, pieces, serve, status, stream } from "./server";
import { answering, body, events, FINISHED, RUN, STARTED, token } from "./streams";

const ANSWER = answering("Hëllo", "\n\n  ", "日本 👩‍👩‍👧‍👦", "\u2028end");
const BYTES = new TextEncoder().encode(body(ANSWER));

describe("a run", () => {
  it("is started with the request as it is and followed to its end", async () => {
    const served = await serve({ events: stream(BYTES) });
    const client = createClient({ url: `${served.url}/`, headers: { Authorization: "Bearer x" } });
    const run = await client.start({ question: "Why?", model: "tiny", options: { seed: 1 } });
    expect(run).toBe(RUN);
    expect(await collect(client)).toEqual(ANSWER);
    expect(served.asked.map(({ method, what }) => `${method} ${what}`)).toEqual(["POST start", "GET events"]);
    expect(served.of("start")[0]?.body).toEqual({ question: "Why?", model: "tiny", options: { seed: 1 } });
    expect(served.asked.map(({ headers }) => headers.authorization)).toEqual(["Bearer x", "Bearer x"]);
  });

  it("needs no header that would make another origin's page ask twice", async () => {
    const served = await serve({ events: stream(body(ANSWER, 2)) });
    expect(await collect(hasty(served.url), 2)).toEqual(ANSWER.slice(2));
    expect(served.asked[0]?.after).toBe(2);
    expect(served.asked[0]?.headers).not.toHaveProperty("last-event-id");
  });

  it("is over at once for who has its end", async () => {
    const served = await serve({ events: status(204) });
    expect(await collect(hasty(served.url), ANSWER.length)).toEqual([]);
    expect(served.asked).toHaveLength(1);
  });

  it("is stopped, and says whether it was still going", async () => {
    const live = new LiveRun();
    const served = await serve(live.routes());
    const client = hasty(served.url);
    live.add(STARTED);
    expect([await client.stop(RUN), await client.stop(RUN)]).toEqual([true, false]);
  });
});

describe("however the bytes come", () => {
  it.each([1, 2, 3, 7, 64])("in pieces of %i bytes the events are the same", async (size) => {
    const chunks = Array.from({ length: Math.ceil(BYTES.length / size) }, (_, at) =>
      BYTES.subarray(at * size, (at + 1) * size),
    );
    const served = await serve({ events: pieces(chunks) });
    expect(await collect(hasty(served.url))).toEqual(ANSWER);
    expect(served.asked).toHaveLength(1);
  });

  it.each([1, 5])("with lines that end in CR LF, in pieces of %i", async (size) => {
    const bytes = new TextEncoder().encode(body(ANSWER).replaceAll("\n", "\r\n"));
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
      bytes.subarray(at * size, (at + 1) * size),
    );
    const served = await serve({ events: pieces(chunks) });
    expect(await collect(hasty(served.url))).toEqual(ANSWER);
    expect(served.asked).toHaveLength(1);
  });

  it("heartbeats between and within events change nothing", async () => {
    const bytes = `: ping\n: ping\n\n${body(ANSWER).replaceAll("\nevent:", "\n: ping\nevent:")}`;
    const served = await serve({ events: stream(bytes) });
    expect(await collect(hasty(served.url))).toEqual(ANSWER);
  });

  it("what comes after the terminal event is not looked at", async () => {
    const served = await serve({ events: stream(`${body(ANSWER)}data: not JSON\n\n`) });
    expect(await collect(hasty(served.url))).toEqual(ANSWER);
  });

  it("an event that comes twice is handed out once", async () => {
    const twice = ANSWER.flatMap((event) => [event, event]);
    const served = await serve({ events: stream(body(twice)) });
    expect(await collect(hasty(served.url))).toEqual(ANSWER);
  });

  it("where events are missing, they are asked for", async () => {
    const gap = ANSWER.filter((event) => event.seq !== 3);
    const served = await serve({ events: [stream(body(gap)), stream(body(ANSWER, 2))] });
    expect(await collect(hasty(served.url))).toEqual(ANSWER);
    expect(served.asked.map(({ after }) => after)).toEqual([0, 2]);
  });

  it("an event of a type from the future counts, and the others go on", async () => {
    const future = { type: "hologram", depth: 3 } as never;
    const all = events(STARTED, token("a"), future, token("b"), FINISHED);
    const served = await serve({ events: stream(body(all)) });
    expect(await collect(hasty(served.url))).toEqual(all);
  });
});
