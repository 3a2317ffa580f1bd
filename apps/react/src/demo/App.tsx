import { useState } from "react";
import type { ChatStore } from "../llmstream";
import { Chat } from "./Chat";
import { Sentence } from "./Sentence";
import { ThemeSwitch } from "./ThemeSwitch";
import { useServer } from "./useServer";
import { WirePanel } from "./wire/WirePanel";

type View = "chat" | "wire";

export function App({ chat }: { chat: ChatStore }) {
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
      {view === "chat" ? <Chat store={chat} server={server} onEnd={askServer} /> : <WirePanel />}
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
