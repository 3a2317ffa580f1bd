import { useCallback, useState } from "react";

interface Editing {
  draft: string;
  setDraft: (text: string) => void;
  /** The question that is being edited; undefined where a new one is written. */
  id: number | undefined;
  edit: (id: number, text: string) => void;
  /** A new question, with nothing of it written. */
  leave: () => void;
}

/** What is written in the composer, and which question it is to replace. */
export function useEditing(): Editing {
  const [draft, setDraft] = useState("");
  const [id, setId] = useState<number>();
  const edit = useCallback((which: number, text: string) => {
    setId(which);
    setDraft(text);
  }, []);
  const leave = useCallback(() => {
    setId(undefined);
    setDraft("");
  }, []);
  return { draft, setDraft, id, edit, leave };
}
