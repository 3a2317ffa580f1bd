/** A value as a person can read it: a text as it is, anything else as JSON. */
export function Json({ value }: { value: unknown }) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return <pre className="plain">{text}</pre>;
}
