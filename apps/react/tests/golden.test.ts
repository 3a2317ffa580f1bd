import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createRun, type Part, type RunState } from "../src/llmstream";
import { hasty } from "./collect";
import { type Answer, created, serve, stream } from "./server";

const FOLDER = new URL("../../../tests/data/wire/", import.meta.url);
const RUN = "0".repeat(32);
const SENTENCE = "The sky is blue because air scatters blue light more than red light.";
const HALF = "The sky is blue because";
const THOUGHT: Part = { kind: "reasoning", text: "Let me think.", open: false };

/** What each recording of a stream must come to. */
const EXPECTED: Record<string, Partial<RunState>> = {
  answered_tool: {
    phase: "finished",
    text: "Let me look.\n\nIt is blue.",
    parts: [
      { kind: "text", text: "Let me look.", message: "m1", name: "agent" },
      {
        kind: "tool",
        id: "call_look",
        name: "look_up",
        arguments: { word: "sky" },
        output: "It is blue.",
        open: false,
      },
      { kind: "text", text: "It is blue.", message: "m2", name: "agent" },
    ],
  },
  cut: { phase: "failed", text: HALF, error: expect.objectContaining({ code: "upstream_truncated", retryable: true }) },
  empty: { phase: "finished", text: "", parts: [], reason: "stop" },
  error_line: { phase: "failed", text: HALF, error: expect.objectContaining({ code: "upstream_error" }) },
  half_json: {
    phase: "failed",
    text: HALF,
    error: expect.objectContaining({ code: "upstream_protocol", retryable: false }),
  },
  interrupted: {
    phase: "interrupted",
    text: "I would send a mail.",
    interrupts: [{ id: "i1", value: expect.objectContaining({ action_requests: [expect.anything()] }) }],
    usage: { input_tokens: 11, output_tokens: 5 },
  },
  interrupted_question: {
    phase: "interrupted",
    parts: [],
    interrupts: [{ id: "i1", value: { question: "Which year?", from: 1990 } }],
  },
  length: { phase: "finished", text: HALF, reason: "length", usage: { input_tokens: 11, output_tokens: 5 } },
  newlines: {
    phase: "finished",
    text: "a\nb\r\nc\rd\n\n\n e\u2028f\u2029g\u0085h\u000bi\fj\u001ck\u001dl\u001em\n",
  },
  owner_lost: {
    phase: "failed",
    text: "One, two",
    seq: 5,
    error: expect.objectContaining({ code: "owner_lost", retryable: true }),
  },
  one_chunk: { phase: "finished", text: SENTENCE, model: "demo:one-chunk", reason: "stop" },
  prompt_cut: { phase: "finished", text: SENTENCE, usage: { input_tokens: 8192, output_tokens: 15 } },
  queued: { phase: "finished", text: " 1 2", seq: 5 },
  resumed: { phase: "finished", text: " because air scatters blue light more than red light.", seq: 16 },
  separators: { phase: "finished", text: "next\u0085line\u2028line\u2029paragraph" },
  split_surrogate: { phase: "finished", text: "a😀z" },
  stopped: { phase: "cancelled", text: " 1 2 3", cancelledBy: "stop" },
  thinking: { phase: "finished", text: SENTENCE, parts: [THOUGHT, { kind: "text", text: SENTENCE }] },
  thinking_only: { phase: "finished", text: "", parts: [THOUGHT] },
  tool_call: {
    phase: "finished",
    reason: "tool_calls",
    parts: [{ kind: "tool", id: "call_0", name: "get_weather", arguments: { city: "Paris" }, open: false }],
  },
  continued: {
    phase: "finished",
    text: "The sky is blue.",
    seams: [13],
    parts: [
      { kind: "reasoning", text: "Hm.", open: false },
      { kind: "text", text: "The sky is blue." },
    ],
  },
  two_messages: {
    phase: "finished",
    text: "A draft.\n\nA review.\n",
    parts: [
      { kind: "reasoning", text: "Hm.", open: false, message: "m1", name: "writer" },
      { kind: "text", text: "A draft.", message: "m1", name: "writer" },
      { kind: "text", text: "A review.\n", message: "m2", name: "critic" },
    ],
  },
  failing_tool: {
    phase: "finished",
    text: "I can't tell.",
    parts: [
      {
        ...{ kind: "tool", id: "call_look", name: "look_up", arguments: { word: "sky" }, open: false },
        output: "Error: ValueError('the station is down')\n Please fix your mistakes.",
      },
      { kind: "text", text: "I can't tell.", message: "m1", name: "agent" },
    ],
  },
  parallel_nodes: {
    phase: "finished",
    text: "Blue.\n\nAir scatters blue.",
    parts: [
      { kind: "text", text: "Blue.", message: "m1", name: "painter" },
      {
        ...{ kind: "tool", message: "m2", id: "call_look", name: "look_up", arguments: { word: "sky" } },
        ...{ output: "It is blue.", open: false },
      },
      { kind: "text", text: "Air scatters blue.", message: "m2", name: "physicist" },
    ],
  },
  withdrawn: {
    phase: "finished",
    text: "The answer.",
    parts: [{ kind: "text", text: "The answer.", message: "m2", name: "writer" }],
  },
};

function recorded(name: string): Buffer {
  return readFileSync(new URL(`native_${name}.txt`, FOLDER));
}

const names = readdirSync(FOLDER).flatMap((file) => /^native_(\w+)\.txt$/.exec(file)?.[1] ?? []);

describe("a recorded stream", () => {
  // A reset is no stream of its own: see below.
  it.each(names.filter((name) => name !== "reset"))("%s", async (name) => {
    const served = await serve({ start: created(RUN), events: stream(recorded(name)) });
    const run = createRun(hasty(served.url));
    // A recording that goes on begins after its first five events.
    const after = name === "resumed" ? 5 : 0;
    const watched = { ...run.latest(), phase: "lost" as const, seq: after };
    expect(EXPECTED).toHaveProperty(name);
    expect(await run.watch(RUN, watched)).toMatchObject({ connection: "closed", runId: RUN, ...EXPECTED[name] });
    expect(run.latest().waiting).toBeUndefined();
    expect(served.asked.map((each) => each.after)).toEqual([after]);
  });

  it("reset begins anew, and what came before is gone", async () => {
    const half: Answer = stream(recorded("one_chunk").subarray(0, 700));
    const served = await serve({ events: [half, stream(recorded("reset")), stream(recorded("separators"))] });
    const state = await createRun(hasty(served.url)).watch(RUN);
    expect(state).toMatchObject({ phase: "finished", text: EXPECTED.separators?.text, model: "demo:separators" });
    expect(served.asked.map(({ after }) => after)).toEqual([0, 4, 0]);
  });

  it("says what it waits for until something comes", async () => {
    const until = recorded("queued").toString().split("id: ").slice(0, 3).join("id: ");
    const stuck: Answer = (response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write(until);
    };
    const served = await serve({ events: stuck });
    const run = createRun(hasty(served.url));
    void run.watch(RUN);
    const detail = "Waiting for a place: number 1 in the queue.";
    await expect.poll(() => run.latest().waiting).toEqual({ state: "queued", detail, position: 1 });
  });
});
