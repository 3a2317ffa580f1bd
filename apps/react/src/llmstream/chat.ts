import type { Client, Message, RunRequest } from "./client.js";
import { createRun } from "./run.js";
import { IDLE, isActive, type RunState } from "./state.js";

export type ChatMessage =
  | { id: number; role: "user"; content: string }
  | { id: number; role: "assistant"; run: RunState };

export interface ChatState {
  messages: readonly ChatMessage[];
  /** Whether an answer is under way; it is the last message. */
  busy: boolean;
}

/** What an answer may be asked for with, beside the conversation. */
export type AskWith = Omit<RunRequest, "question" | "messages" | "request_id">;

export interface ChatOptions {
  client: Client;
  /** Keeps the conversation over a reload, and the answer under way goes on: `sessionStorage`, for one. */
  storage?: Pick<Storage, "getItem" | "setItem" | "removeItem">;
  storageKey?: string;
  /** What the model is told before the conversation. */
  system?: string;
}

/** A conversation, one answer at a time. Knows no framework; see `useChat`. */
export interface ChatStore {
  subscribe(listener: () => void): () => void;
  getSnapshot(): ChatState;
  /** Ask; false, and nothing happens, while an answer is under way or where there is nothing but spaces. */
  send(text: string, ask?: AskWith): boolean;
  /** End the answer and free the model; what came is kept. */
  stop(): Promise<void>;
  /** Have the last question answered again. */
  retry(ask?: AskWith): void;
  /** Go on with an answer whose connection was lost. */
  reconnect(): void;
  /** Replace a question; what came after it is dropped. */
  edit(id: number, text: string, ask?: AskWith): boolean;
  /** Show a run that was started elsewhere. */
  watch(runId: string): void;
  /** Begin anew; an answer under way is stopped. */
  clear(): void;
}

/** A conversation over this client. */
export function createChat({ client, storage, storageKey = "llmstream", system }: ChatOptions): ChatStore {
  const listeners = new Set<() => void>();
  let messages = load(storage, storageKey);
  // The last answer is always the run's; those before do not change any more.
  const run = createRun(client, lastRun());
  let state: ChatState = { messages, busy: isActive(run.getSnapshot()) };
  let leaveRun: (() => void) | undefined;
  let asked = false; // since the page was loaded: what the run can send again

  function lastRun(): RunState | undefined {
    const last = messages.at(-1);
    return last?.role === "assistant" ? last.run : undefined;
  }

  function show(now: RunState): void {
    messages = messages.map((message, at) =>
      at === messages.length - 1 && message.role === "assistant" ? { ...message, run: now } : message,
    );
  }

  function publish(): void {
    state = { messages, busy: isActive(lastRun() ?? IDLE) };
    for (const listener of [...listeners]) listener();
  }

  function save(): void {
    show(run.latest());
    try {
      if (messages.length > 0) storage?.setItem(storageKey, JSON.stringify(messages));
      else storage?.removeItem(storageKey);
    } catch {
      // Full or forbidden: then a reload begins anew.
    }
  }

  function onRun(): void {
    const before = lastRun();
    const now = run.getSnapshot();
    if (before === undefined || before === now) return;
    show(now);
    if (before.phase !== now.phase) save();
    publish();
  }

  function answer(go: () => void): void {
    messages = [...messages, { id: nextId(messages), role: "assistant", run: IDLE }];
    go();
    onRun();
  }

  function ask(withWhat: AskWith): void {
    const conversation = toRequest(messages, system);
    asked = true;
    answer(() => void run.start({ ...withWhat, messages: conversation }));
  }

  function send(text: string, withWhat: AskWith = {}): boolean {
    if (state.busy || text.trim() === "") return false;
    messages = [...messages, { id: nextId(messages), role: "user", content: text }];
    ask(withWhat);
    return true;
  }

  function retry(withWhat: AskWith = {}): void {
    const before = lastRun();
    if (state.busy || before === undefined || messages.length < 2) return;
    messages = messages.slice(0, -1);
    // A request that may have got lost is sent again as it was, so that it can't start a second run.
    if (asked && before.error?.code === "unreachable") answer(() => void run.retry());
    else ask(withWhat);
  }

  function edit(id: number, text: string, withWhat: AskWith = {}): boolean {
    const at = messages.findIndex((message) => message.id === id && message.role === "user");
    if (at < 0 || state.busy || text.trim() === "") return false;
    messages = messages.slice(0, at);
    return send(text, withWhat);
  }

  function clear(): void {
    void run.stop();
    messages = [];
    save();
    publish();
  }

  function subscribe(listener: () => void): () => void {
    listeners.add(listener);
    if (listeners.size === 1) {
      leaveRun = run.subscribe(onRun);
      onRun(); // what happened while nobody looked
      if (typeof window !== "undefined") window.addEventListener("pagehide", save);
    }
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      leaveRun?.();
      if (typeof window !== "undefined") window.removeEventListener("pagehide", save);
    };
  }

  return {
    subscribe,
    getSnapshot: () => state,
    send,
    stop: run.stop,
    retry,
    reconnect: () => void run.reconnect(),
    edit,
    watch: (runId) => answer(() => void run.watch(runId)),
    clear,
  };
}

function nextId(messages: readonly ChatMessage[]): number {
  return (messages.at(-1)?.id ?? 0) + 1;
}

function toRequest(messages: readonly ChatMessage[], system: string | undefined): Message[] {
  const found: Message[] = system ? [{ role: "system", content: system }] : [];
  for (const message of messages) {
    const content = message.role === "user" ? message.content : message.run.text;
    if (content !== "") found.push({ role: message.role, content });
  }
  return found;
}

function load(storage: ChatOptions["storage"], key: string): readonly ChatMessage[] {
  try {
    const messages = JSON.parse(storage?.getItem(key) ?? "[]") as ChatMessage[];
    const texts = messages.map((message) => (message.role === "user" ? message.content : message.run.text));
    if (!texts.every((text) => typeof text === "string")) return [];
    return messages.map((message) =>
      message.role === "assistant" ? { ...message, run: restored(message.run) } : message,
    );
  } catch {
    return []; // forbidden, or written by something else
  }
}

/** A kept state as it is after a reload; the run itself goes on without the page. */
function restored(run: RunState): RunState {
  const { error: _, ...kept } = run;
  if (run.phase === "interrupted") return { ...kept, phase: "running" };
  if (!isActive(run) || run.runId !== undefined) return run;
  const error = { code: "interrupted", message: "The page was left before the answer began.", retryable: true };
  return { ...run, phase: "failed", connection: "closed", error };
}
