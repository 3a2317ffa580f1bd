import type { KeyboardEvent, ReactNode, Ref } from "react";
import { Icon } from "./Icon";
import { AttachButton, type Attached, imagesIn, Previews } from "./Images";

interface Props {
  ref: Ref<HTMLTextAreaElement>;
  draft: string;
  onDraft: (text: string) => void;
  /** Undefined where no images are taken. */
  attached: Attached | undefined;
  busy: boolean;
  editing: boolean;
  onSend: () => void;
  onStop: () => void;
  onCancelEdit: () => void;
  children: ReactNode;
}

export function Composer(props: Props) {
  const { ref, draft, onDraft, attached, busy, editing, onSend, onStop, onCancelEdit, children } = props;

  function onKeyDown(event: KeyboardEvent): void {
    // While an input method composes a word, Enter chooses it.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    onSend();
  }
  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        onSend();
      }}
    >
      {editing ? (
        <p className="editing">
          Editing a question; what came after it will be replaced.
          <button type="button" onClick={onCancelEdit}>
            Leave it
          </button>
        </p>
      ) : null}
      <div className="box">
        {attached ? <Previews attached={attached} /> : null}
        <textarea
          ref={ref}
          aria-label="Message"
          placeholder="Ask something"
          rows={1}
          value={draft}
          // biome-ignore lint/a11y/noAutofocus: this is what the page is for
          autoFocus
          onChange={(event) => onDraft(event.target.value)}
          onKeyDown={onKeyDown}
          onPaste={(event) => {
            const files = imagesIn(event.clipboardData);
            if (!attached || files.length === 0) return;
            event.preventDefault();
            attached.add(files);
          }}
        />
        <div className="tools">
          {children}
          {attached ? <AttachButton onFiles={attached.add} /> : null}
          {busy ? (
            <button
              type="button"
              className="main round"
              aria-label="Stop"
              title="Stop (Esc)"
              // The second click of a double click on Send stops nothing.
              onClick={(event) => event.detail < 2 && onStop()}
            >
              <Icon name="stop" />
            </button>
          ) : (
            <button
              type="submit"
              className="main round"
              aria-label="Send"
              title="Send (Enter)"
              disabled={draft.trim() === "" && !attached?.images.length}
            >
              <Icon name="send" />
            </button>
          )}
        </div>
      </div>
    </form>
  );
}
