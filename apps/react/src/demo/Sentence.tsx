/** What the server says to a person; its `commands` are shown as code. */
export function Sentence({ text }: { text: string }) {
  return text.split("`").map((part, at) => (at % 2 ? <code key={at}>{part}</code> : part));
}
