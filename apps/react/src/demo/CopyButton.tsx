import { useEffect, useState } from "react";
import { Icon } from "./Icon";

const COPIED = "Copied";

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [said, say] = useState("");
  useEffect(() => {
    if (said === "") return;
    const timer = setTimeout(() => say(""), 1500);
    return () => clearTimeout(timer);
  }, [said]);
  return (
    <button type="button" onClick={() => copy(text).then(say)}>
      <Icon name={said === COPIED ? "check" : "copy"} />
      {said || label}
    </button>
  );
}

async function copy(text: string): Promise<string> {
  try {
    await navigator.clipboard.writeText(text);
    return COPIED;
  } catch {
    // Browsers have no clipboard for a page on plain http under a name that is not localhost.
    return "Select it and copy";
  }
}
