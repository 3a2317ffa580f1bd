import { useCallback, useEffect, useRef, useState } from "react";
import { type AskWith, announcement, type ChatStore } from "../llmstream";
import { useChat } from "../llmstream/react";
import { Composer } from "./Composer";
import { useServer } from "./server";
import { ThemeSwitch } from "./ThemeSwitch";
import { Transcript } from "./Transcript";
import { WirePanel } from "./wire/WirePanel";

type View = "chat" | "wire";

export function App({ chat: store }: { chat: ChatStore }) {
  const [view, setView] = useState<View>("chat");
  const [server, askServer] = useServer();
  return (
    <div className="app">
      <header>
        <h1>llmstream</h1>
        <nav aria-label="Views">
          {(["chat", "wire"] as const).map((each) => (
            <button key={each} type="button" aria-pressed={view === each} onClick={() => setView(each)}>
              {each === "chat" ? "Chat" : "Wire"}
            </button>
          ))}
        </nav>
        <a href="./docs">API</a>
        <ThemeSwitch />
      </header>
      {server?.notice ? <Notice text={server.notice} /> : null}
      {view === "chat" ? <Chat store={store} server={server} onEnd={askServer} /> : <WirePanel />}
    </div>
  );
}

function Notice({ text }: { text: string }) {
  const parts = text.split("`").map((part, at) => ({ part, at }));
  return (
    <p className="notice" role="note">
      {parts.map(({ part, at }) => (at % 2 ? <code key={at}>{part}</code> : part))}
    </p>
  );
}

interface ChatProps {
  store: ChatStore;
  server: ReturnType<typeof useServer>[0];
  onEnd: () => void;
}

function Chat({ store, server, onEnd }: ChatProps) {
  const chat = useChat(store);
  const { messages, busy, stop } = chat;
  const [model, setModel] = useState("");
  const [thinking, setThinking] = useState("");
  const [editing, setEditing] = useState<number>();
  const [draft, setDraft] = useState("");
  const composer = useRef<HTMLTextAreaElement>(null);
  const last = messages.at(-1);

  const ask: AskWith = {};
  if (model !== "") ask.model = model;
  if (thinking !== "") ask.thinking = thinking === "on";

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" && busy) void stop();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [busy, stop]);

  const wasBusy = useRef(busy);
  useEffect(() => {
    // An Ollama may have come, or gone.
    if (wasBusy.current && !busy) onEnd();
    wasBusy.current = busy;
  }, [busy, onEnd]);

  function send(text: string): void {
    const sent = editing === undefined ? chat.send(text, ask) : chat.edit(editing, text, ask);
    if (!sent) return;
    setDraft("");
    setEditing(undefined);
  }

  const edit = useCallback((id: number, text: string) => {
    setEditing(id);
    setDraft(text);
    composer.current?.focus();
  }, []);

  function clear(): void {
    chat.clear();
    setEditing(undefined);
    composer.current?.focus();
  }

  return (
    <main>
      <p role="status" className="hidden">
        {last?.role === "assistant" ? announcement(last.run) : ""}
      </p>
      <Transcript
        messages={messages}
        onExample={send}
        onEdit={edit}
        onRetry={() => chat.retry(ask)}
        onReconnect={chat.reconnect}
      />
      <Composer
        ref={composer}
        draft={draft}
        onDraft={setDraft}
        busy={busy}
        editing={editing !== undefined}
        onSend={() => send(draft)}
        onStop={() => void stop()}
        onCancelEdit={() => {
          setEditing(undefined);
          setDraft("");
        }}
      >
        <label>
          <span className="hidden">Model</span>
          <select value={model} onChange={(event) => setModel(event.target.value)}>
            <option value="">{server?.defaultModel || "Model"}</option>
            {server?.models
              .filter((name) => name !== server.defaultModel)
              .map((name) => (
                <option key={name}>{name}</option>
              ))}
          </select>
        </label>
        <label>
          <span className="hidden">Thinking</span>
          <select value={thinking} onChange={(event) => setThinking(event.target.value)}>
            <option value="">Thinking: default</option>
            <option value="on">Thinking: on</option>
            <option value="off">Thinking: off</option>
          </select>
        </label>
        {messages.length > 0 ? (
          <button type="button" onClick={clear}>
            New chat
          </button>
        ) : null}
      </Composer>
    </main>
  );
}
