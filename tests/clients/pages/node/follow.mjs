// Follows a URL with an EventSource of a package until the event that ends it, as JSON: [{event, data, id}].
// Arguments: the package, the URL, the names of events to listen to; the last name is the end, or "closed" for
// the connection closed for good.
const [name = "", url = "", ...names] = process.argv.slice(2);

/** @type {typeof import("eventsource-4")} */
const { EventSource } = await import(name);

/** @type {{event: string, data: string, id: string}[]} */
const messages = [];
const source = new EventSource(url);

function end() {
  source.close();
  process.stdout.write(JSON.stringify(messages));
}

for (const event of ["message", ...names]) {
  source.addEventListener(event, ({ data, lastEventId }) => {
    messages.push({ event, data, id: lastEventId });
    if (event === names.at(-1)) {
      end();
    }
  });
}
source.addEventListener("error", () => {
  if (source.readyState === EventSource.CLOSED) {
    end();
  }
});
