import { useState, useSyncExternalStore } from "react";
import type { ChatState, ChatStore } from "./chat.js";
import type { Client } from "./client.js";
import { createRun, type RunStore } from "./run.js";
import type { RunState } from "./state.js";

/** One run: its state, and what can be done with it. The client of the first render is kept as long as the component. */
export function useRun(client: Client): RunState & Omit<RunStore, "subscribe" | "getSnapshot"> {
  const [store] = useState(() => createRun(client));
  return { ...useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot), ...store };
}

/** A conversation: the state of a store that `createChat` made, and what can be done with it. */
export function useChat(store: ChatStore): ChatState & Omit<ChatStore, "subscribe" | "getSnapshot"> {
  return { ...useSyncExternalStore(store.subscribe, store.getSnapshot, store.getSnapshot), ...store };
}
