import type { Client, ContentPart, Message, RunRequest } from "./client.js";
import { createRun, randomId } from "./run.js";
import { IDLE, isActive, type RunState } from "./state.js";

/** The answers to an interrupted run, by the ids of its interrupts. */
export type Answers = Record<string, unknown>;

/** An answer that goes on from an interrupted one has the `answers` that it was given. */
export type ChatMessage =
  | { id: number; role: "user"; content: string; images?: readonly string[] }
  | { id: number; role: "assistant"; run: RunState; answers?: Answers };

export interface ChatState {
  messages: readonly ChatMessage[];
  /** Whether an answer is under way; it is the last message. */
  busy: boolean;
}

/** What an answer may be asked for with, beside the conversation. */
export type AskWith = Omit<RunRequest, "question" | "messages" | "resume" | "request_id">;

/** What a question is sent with: images as data: URLs, which `readImage` makes, and how to answer. */
export type SendWith = AskWith & { images?: readonly string[] };

export interface ChatOptions {
  client: Client;
  /** Keeps the conversation over a reload, and the answer under way goes on: `sessionStorage`, for one. */
  storage?: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  storageKey?: string;
  /** What the model is told before the conversation. */
  system?: string;
  /** Names each conversation to the server, for a chain that remembers it or waits for a person. */
  threads?: boolean;
}

/** A conversation, one answer at a time. Knows no framework; see `useChat`. */
export interface ChatStore {
  subscribe(listener: () => void): () => void;
  getSnapshot(): ChatState;
  /** Ask; false, and nothing happens, while an answer is under way or where there is nothing but spaces and no image. */
  send(text: string, ask?: SendWith): boolean;
  /** End the answer and free the model; what came is kept. */
  stop(): Promise<void>;
  /** Have the last question answered again. */
  retry(ask?: AskWith): void;
  /** Go on with an answer whose connection was lost, or with one that was cut (see `canContinue`). */
  reconnect(): void;
  continueRun(): void;
  /** Answer an interrupted run; false, and nothing happens, where the last answer is none. */
  resume(answers: Answers, ask?: AskWith): boolean;
  /** Replace a question; what came after it is dropped. Its images stay, unless `images` replaces them. */
  edit(id: number, text: string, ask?: SendWith): boolean;
  /** Show a run that was started elsewhere. */
  watch(runId: string): void;
  /** Begin anew; an answer under way is stopped. */
  clear(): void;
}

/**
 * A conversation over this client. The last answer is always the run's, those before do not change any more:
 *
 *     empty ── send, watch ──▶ busy ── the run ends, or is lost ──▶ answered ── clear ──▶ empty
 *                               ▲                                           │
 *                               └ send, edit, retry, resume, reconnect, … ◀─┘
 *
 * `resume` needs an answer that is interrupted, `reconnect` one that is lost, `continueRun` one that was cut. A kept
 * conversation begins as it was left; a run that was under way goes on as soon as somebody subscribes.
 */
export function createChat(options: ChatOptions): ChatStore {
  const { client, storage, storageKey = "llmstream", system, threads = false } = options;
  const listeners = new Set<() => void>();
  const kept = load(storage, storageKey);
  let thread = kept.thread ?? randomId();
  let state = toState(kept.messages);
  const run = createRun(client, lastRun(kept.messages));
  let saved = lastRun(kept.messages)?.phase;
  let leaveRun = () => {};
  let asked = false; // since the page was loaded: what the run can send again

  function getSnapshot(): ChatState {
    const messages = withRun(state.messages, run.getSnapshot());
    if (messages !== state.messages) state = toState(messages);
    return state;
  }

  function publish(): void {
    for (const listener of [...listeners]) listener();
  }

  function save(): void {
    const messages = withRun(state.messages, run.latest());
    saved = lastRun(messages)?.phase;
    try {
      if (messages.length > 0) storage?.setItem(storageKey, JSON.stringify({ thread, messages }));
      else forget();
    } catch {
      forget(); // full or forbidden: a reload begins anew, and not with half of it
    }
  }

  function forget(): void {
    try {
      storage?.removeItem(storageKey);
    } catch {
      // Forbidden: then nothing was kept either.
    }
  }

  function onRun(): void {
    if (lastRun(getSnapshot().messages)?.phase !== saved) save();
    publish();
  }

  /** A new answer behind these messages, which `go` begins. */
  function answer(before: readonly ChatMessage[], go: () => void, answers?: Answers): void {
    const message: ChatMessage = { id: nextId(before), role: "assistant", run: IDLE };
    state = toState([...before, answers === undefined ? message : { ...message, answers }]);
    go();
  }

  function ask(before: readonly ChatMessage[], withWhat: AskWith, answers?: Answers): void {
    const what = answers === undefined ? { messages: toRequest(before, system) } : { resume: answers };
    const request = { ...(threads ? { thread } : {}), ...withWhat, ...what };
    asked = true;
    answer(before, () => void run.start(request), answers);
  }

  /** A question behind these messages; false where it can't be asked. */
  function put(before: readonly ChatMessage[], text: string, { images = [], ...withWhat }: SendWith): boolean {
    if (getSnapshot().busy || (text.trim() === "" && images.length === 0)) return false;
    const question = { id: nextId(before), role: "user" as const, content: text };
    ask([...before, images.length > 0 ? { ...question, images } : question], withWhat);
    return true;
  }

  function send(text: string, withWhat: SendWith = {}): boolean {
    return put(getSnapshot().messages, text, withWhat);
  }

  function edit(id: number, text: string, withWhat: SendWith = {}): boolean {
    const { messages } = getSnapshot();
    const at = messages.findIndex((message) => message.id === id);
    const asked = messages[at];
    if (asked?.role !== "user") return false;
    return put(messages.slice(0, at), text, { ...(asked.images ? { images: asked.images } : {}), ...withWhat });
  }

  function retry(withWhat: AskWith = {}): void {
    const { busy, messages } = getSnapshot();
    const last = messages.at(-1);
    if (busy || last?.role !== "assistant" || messages.length < 2) return;
    const before = messages.slice(0, -1);
    // A request that may have got lost is sent again as it was, so that it can't start a second run.
    if (asked && last.run.error?.code === "unreachable") answer(before, () => void run.retry(), last.answers);
    else ask(before, withWhat, last.answers);
  }

  function resume(answers: Answers, withWhat: AskWith = {}): boolean {
    const { messages } = getSnapshot();
    if (lastRun(messages)?.phase !== "interrupted") return false;
    ask(messages, withWhat, answers);
    return true;
  }

  function clear(): void {
    void run.stop();
    thread = randomId();
    state = toState([]);
    save();
    publish();
  }

  function subscribe(listener: () => void): () => void {
    listeners.add(listener);
    if (listeners.size === 1) {
      leaveRun = run.subscribe(onRun);
      globalThis.window?.addEventListener("pagehide", save);
    }
    return () => {
      if (!listeners.delete(listener) || listeners.size > 0) return;
      leaveRun();
      globalThis.window?.removeEventListener("pagehide", save);
    };
  }

  const watch = (runId: string) => answer(getSnapshot().messages, () => void run.watch(runId));
  const same = { stop: run.stop, reconnect: () => void run.reconnect(), continueRun: () => void run.continueRun() };
  return { subscribe, getSnapshot, send, retry, resume, edit, watch, clear, ...same };
}

function toState(messages: readonly ChatMessage[]): ChatState {
  return { messages, busy: isActive(lastRun(messages) ?? IDLE) };
}

function lastRun(messages: readonly ChatMessage[]): RunState | undefined {
  const last = messages.at(-1);
  return last?.role === "assistant" ? last.run : undefined;
}

/** These messages with the last answer as it is now; the same array where nothing changed. */
function withRun(messages: readonly ChatMessage[], run: RunState): readonly ChatMessage[] {
  const last = messages.at(-1);
  return last?.role !== "assistant" || last.run === run ? messages : [...messages.slice(0, -1), { ...last, run }];
}

function nextId(messages: readonly ChatMessage[]): number {
  return (messages.at(-1)?.id ?? 0) + 1;
}

function toRequest(messages: readonly ChatMessage[], system: string | undefined): Message[] {
  const found: Message[] = system ? [{ role: "system", content: system }] : [];
  for (const message of messages) {
    const text = message.role === "user" ? message.content : message.run.text;
    const images = message.role === "user" ? (message.images ?? []) : [];
    const content = images.length > 0 ? partsOf(text, images) : text;
    if (content !== "") found.push({ role: message.role, content });
  }
  return found;
}

function partsOf(text: string, images: readonly string[]): ContentPart[] {
  const shown = images.map((url): ContentPart => ({ type: "image_url", image_url: { url } }));
  return text.trim() === "" ? shown : [{ type: "text", text }, ...shown];
}

interface Kept {
  thread?: string;
  messages: readonly ChatMessage[];
}

function load(storage: ChatOptions["storage"], key: string): Kept {
  try {
    const kept = JSON.parse(storage?.getItem(key) ?? "null") as Kept;
    const texts = kept.messages.map((message) => (message.role === "user" ? message.content : message.run.text));
    if (!texts.every((text) => typeof text === "string")) return { messages: [] };
    return { ...kept, messages: kept.messages.map(restored) };
  } catch {
    return { messages: [] }; // forbidden, or written by something else
  }
}

/** A kept message as it is after a reload; its run goes on without the page. */
function restored(message: ChatMessage): ChatMessage {
  if (message.role === "user") return message;
  const { error: _, ...run } = message.run;
  if (run.phase === "lost") return { ...message, run: { ...run, phase: "running" } };
  if (!isActive(run) || run.runId !== undefined) return message;
  const error = { code: "lost", message: "The page was left before the answer began.", retryable: true };
  return { ...message, run: { ...run, phase: "failed", connection: "closed", error } };
}
