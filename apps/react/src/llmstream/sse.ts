/** The data of the messages in a stream, those of one read at once; `onRead` is told of each read. */
export async function* messagesIn(
  body: ReadableStream<Uint8Array>,
  onRead: () => void,
): AsyncGenerator<string[], void, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parse = createParser();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    onRead();
    const found = parse(decoder.decode(value, { stream: true }));
    if (found.length > 0) yield found;
  }
}

/**
 * A parser of server-sent events, by the HTML standard (9.2.6): takes the text as it comes, and gives the data of the
 * messages that end in it. Their ids and names are in the data too.
 */
export function createParser(): (text: string) => string[] {
  let rest = "";
  let data: string[] = [];
  return (text) => {
    // A \r at the end may be the first half of a \r\n.
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    const found: string[] = [];
    for (const line of lines) {
      if (line === "data" || line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      if (line !== "" || data.length === 0) continue;
      found.push(data.join("\n"));
      data = [];
    }
    return found;
  };
}
