// What each parser makes of some files, as JSON: for each file {parser: [{event, data, id}]}.
// Arguments: the size of the chunks that the parsers are fed, 0 for whole files, and the files.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { createParser } from "eventsource-parser";

/** @typedef {{event: string, data: string, id: string}} Message */

/** @type {typeof import("@microsoft/fetch-event-source/lib/cjs/parse.js")} */
const fetchEventSource = createRequire(import.meta.url)("@microsoft/fetch-event-source/lib/cjs/parse.js");

/** @param {Uint8Array[]} chunks */
function withEventsourceParser(chunks) {
  /** @type {Message[]} */
  const messages = [];
  let lastId = "";
  const parser = createParser({
    onEvent: ({ event, data, id }) => {
      lastId = id ?? lastId;
      messages.push({ event: event ?? "message", data, id: lastId });
    },
    onError: (error) => {
      throw error;
    },
  });
  const decoder = new TextDecoder();
  for (const chunk of chunks) {
    parser.feed(decoder.decode(chunk, { stream: true }));
  }
  return messages;
}

/** @param {Uint8Array[]} chunks */
function withFetchEventSource(chunks) {
  /** @type {Message[]} */
  const messages = [];
  let lastId = "";
  const feed = fetchEventSource.getLines(
    fetchEventSource.getMessages(
      (id) => (lastId = id),
      () => {},
      ({ event, data }) => {
        // It takes the opening of the plain dialect, an id and nothing else, for a message; that appends nothing.
        if (event || data || !lastId.endsWith("-0")) {
          messages.push({ event: event || "message", data, id: lastId });
        }
      },
    ),
  );
  chunks.forEach((chunk) => feed(chunk));
  return messages;
}

/** @param {string} path @param {number} size */
function parse(path, size) {
  const bytes = readFileSync(path);
  const step = size || bytes.length;
  const chunks = Array.from({ length: Math.ceil(bytes.length / step) }, (_, n) =>
    Uint8Array.from(bytes.subarray(n * step, (n + 1) * step)),
  );
  return {
    "eventsource-parser": withEventsourceParser(chunks),
    "fetch-event-source": withFetchEventSource(chunks),
  };
}

const [size, ...paths] = process.argv.slice(2);
process.stdout.write(JSON.stringify(paths.map((path) => parse(path, Number(size)))));
