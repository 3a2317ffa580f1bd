import { useCallback, useEffect, useRef, useState } from "react";
import { type AskWith, announcement, type ChatStore } from "../llmstream";
import { useChat } from "../llmstream/react";
import { Composer } from "./Composer";
import { Icon } from "./Icon";
import { Sentence } from "./Sentence";
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
        <h1>
          <Logo />
          llmstream
        </h1>
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
      {server?.notice ? (
        <p className="notice" role="note">
          <Sentence text={server.notice} />
        </p>
      ) : null}
      {view === "chat" ? <Chat store={store} server={server} onEnd={askServer} /> : <WirePanel />}
    </div>
  );
}

function Logo() {
  return (
    <svg className="logo" viewBox="0 0 32 32" aria-hidden>
      <rect width="32" height="32" rx="8" />
      <path d="M8 11h11M8 16h16M8 21h7" />
      <circle cx="20" cy="21" r="1.8" />
    </svg>
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

  /** The button that was pressed may be gone now. On a phone this would open the keyboard. */
  function goOnTyping(): void {
    if (matchMedia("(hover: hover)").matches) composer.current?.focus();
  }

  function send(text: string): void {
    const sent = editing === undefined ? chat.send(text, ask) : chat.edit(editing, text, ask);
    if (sent) leaveEdit();
    goOnTyping();
  }

  function leaveEdit(): void {
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
        onRetry={() => {
          chat.retry(ask);
          goOnTyping();
        }}
        onReconnect={() => {
          chat.reconnect();
          goOnTyping();
        }}
      />
      <Composer
        ref={composer}
        draft={draft}
        onDraft={setDraft}
        busy={busy}
        editing={editing !== undefined}
        onSend={() => send(draft)}
        onStop={() => {
          void stop();
          goOnTyping();
        }}
        onCancelEdit={() => {
          leaveEdit();
          goOnTyping();
        }}
      >
        <select aria-label="Model" value={model} onChange={(event) => setModel(event.target.value)}>
          <option value="">{server?.defaultModel || "Model"}</option>
          {server?.models
            .filter((name) => name !== server.defaultModel)
            .map((name) => (
              <option key={name}>{name}</option>
            ))}
        </select>
        <select aria-label="Thinking" value={thinking} onChange={(event) => setThinking(event.target.value)}>
          <option value="">Thinking: auto</option>
          <option value="on">Thinking: on</option>
          <option value="off">Thinking: off</option>
        </select>
        {messages.length > 0 ? (
          <button type="button" onClick={clear} title="New chat">
            <Icon name="add" />
            New chat
          </button>
        ) : null}
        {busy && last?.role === "assistant" && last.run.runId !== undefined ? (
          <a href={`#run=${last.run.runId}`} target="_blank" rel="noopener" title="Follow in another tab">
            <Icon name="link" />
            Follow in another tab
          </a>
        ) : null}
      </Composer>
    </main>
  );
}
