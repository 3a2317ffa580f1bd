import { useState, useSyncExternalStore } from "react";
import { type ChatOptions, type ChatState, type ChatStore, createChat } from "./chat.js";
import type { Client } from "./client.js";
import { createRun, type RunStore } from "./run.js";
import type { RunState } from "./state.js";

/** One run: its state, and what can be done with it. */
export function useRun(client: Client): RunState & Omit<RunStore, "subscribe" | "getSnapshot"> {
  const [store] = useState(() => createRun(client));
  const state = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
  return { ...state, ...store };
}

/** A conversation, from options or from a store that outlives the component. */
export function useChat(from: ChatOptions | ChatStore): ChatState & Omit<ChatStore, "subscribe" | "getSnapshot"> {
  const [store] = useState(() => ("subscribe" in from ? from : createChat(from)));
  const state = useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot);
  return { ...state, ...store };
}
