import { type DragEvent, useCallback, useEffect, useRef } from "react";
import { announcement, type ChatMessage, type ChatStore } from "../llmstream";
import { useChat } from "../llmstream/react";
import { Composer } from "./Composer";
import { Icon } from "./Icon";
import { imagesIn, useAttached } from "./Images";
import { Picker, usePicked } from "./Picker";
import { Transcript } from "./Transcript";
import { useEditing } from "./useEditing";
import type { Server } from "./useServer";

interface Props {
  store: ChatStore;
  server: Server | undefined;
  /** An answer has ended. */
  onEnd: () => void;
}

export function Chat({ store, server, onEnd }: Props) {
  const chat = useChat(store);
  const { messages, busy } = chat;
  const takesImages = server?.takes.images ?? true; // an image that is pasted at once must not get lost
  const { ask, picker } = usePicked(server);
  const editing = useEditing();
  const attached = useAttached();
  const composer = useRef<HTMLTextAreaElement>(null);
  const last = messages.at(-1);
  useStopKey(busy, chat.stop);
  useEnd(busy, onEnd);

  /** Does this, and goes on typing: the button that was pressed may be gone. On a phone it would open the keyboard. */
  function then<T extends unknown[]>(action: (...args: T) => void): (...args: T) => void {
    return (...args) => {
      action(...args);
      if (matchMedia("(hover: hover)").matches) composer.current?.focus();
    };
  }

  const leave = () => {
    editing.leave();
    attached.set([]);
  };

  const send = then((text: string, images: readonly string[]) => {
    const what = { ...ask, images };
    if (editing.id === undefined ? chat.send(text, what) : chat.edit(editing.id, text, what)) leave();
  });

  const begin = then(() => {
    chat.clear();
    if (editing.id !== undefined) leave();
  });

  const { edit } = editing;
  const { set } = attached;
  const onEdit = useCallback(
    (id: number, text: string, images: readonly string[]) => {
      edit(id, text);
      set(images);
      composer.current?.focus();
    },
    [edit, set],
  );

  const onDrop = (event: DragEvent) => {
    const files = imagesIn(event.dataTransfer);
    if (files.length === 0) return;
    event.preventDefault();
    if (!takesImages) return;
    attached.add(files);
  };

  return (
    <main onDragOver={(event) => acceptFiles(event, takesImages)} onDrop={onDrop}>
      <p role="status" className="hidden">
        {last?.role === "assistant" ? announcement(last.run) : ""}
      </p>
      <Transcript
        examples={server?.takes.model ?? false}
        messages={messages}
        onExample={(text) => send(text, [])}
        onEdit={onEdit}
        onRetry={then(() => chat.retry(ask))}
        onReconnect={then(chat.reconnect)}
        onContinue={server?.takes.continue === false ? undefined : then(chat.continueRun)}
        onResume={then((answers) => void chat.resume(answers, ask))}
      />
      <Composer
        ref={composer}
        draft={editing.draft}
        onDraft={editing.setDraft}
        attached={takesImages ? attached : undefined}
        busy={busy}
        editing={editing.id !== undefined}
        onSend={() => send(editing.draft, attached.images)}
        onStop={then(() => void chat.stop())}
        onCancelEdit={then(leave)}
      >
        <Picker {...picker} />
        <NewChat messages={messages} onNew={begin} />
        {busy ? <OtherTab last={last} /> : null}
      </Composer>
    </main>
  );
}

/** Without this a browser opens a file that is dropped; one that is not taken can't be dropped at all. */
function acceptFiles(event: DragEvent, areTaken: boolean): void {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  if (!areTaken) event.dataTransfer.dropEffect = "none";
}

function NewChat({ messages, onNew }: { messages: readonly ChatMessage[]; onNew: () => void }) {
  if (messages.length === 0) return null;
  return (
    <button type="button" onClick={onNew} title="New chat">
      <Icon name="add" />
      New chat
    </button>
  );
}

function OtherTab({ last }: { last: ChatMessage | undefined }) {
  if (last?.role !== "assistant" || last.run.runId === undefined) return null;
  return (
    <a href={`#run=${last.run.runId}`} target="_blank" rel="noopener" title="Follow in another tab">
      <Icon name="link" />
      Follow in another tab
    </a>
  );
}

/** Esc stops the answer. */
function useStopKey(busy: boolean, stop: () => Promise<void>): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "Escape" && busy) void stop();
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [busy, stop]);
}

/** Calls back when an answer has ended: an Ollama may have come, or gone. */
function useEnd(busy: boolean, onEnd: () => void): void {
  const wasBusy = useRef(busy);
  useEffect(() => {
    if (wasBusy.current && !busy) onEnd();
    wasBusy.current = busy;
  }, [busy, onEnd]);
}
