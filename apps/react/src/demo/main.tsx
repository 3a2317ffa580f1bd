import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createChat, createClient } from "../llmstream";
import { App } from "./App";
import "./style/base.css";
import "./style/chat.css";
import "./style/answer.css";
import "./style/composer.css";
import "./style/markdown.css";
import "./style/wire.css";

// Outside React, so that going to the wire panel and back leaves the answer under way alone.
const client = createClient();
const chat = createChat({ client, storage: sessionStorage, threads: true });

const watched = new URLSearchParams(location.hash.slice(1)).get("run");
if (watched !== null) {
  chat.clear();
  chat.watch(watched);
  history.replaceState(null, "", location.pathname + location.search);
}

createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <App chat={chat} />
  </StrictMode>,
);
