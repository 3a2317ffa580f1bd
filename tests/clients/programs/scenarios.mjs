// What the programs here share: they run every scenario at once and print what came of each as one JSON.
// Their arguments: the server, one whose Ollama is down, and a model, to run the scenario `real` alone with it; or "".

export const [url = "", down = "", model = "", ...rest] = process.argv.slice(2);

export const weather = {
  name: "get_weather",
  description: "The weather in a city",
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

/** How a run ended: its state, asked for until there is one. */
export async function ended(run) {
  for (;;) {
    const { state } = await (await fetch(`${url}/runs/${run}`)).json();
    if (state !== "queued" && state !== "running") {
      return state;
    }
  }
}

/** What an error says, with what its client knows of it. */
export function told(error) {
  const { name, message, status, status_code, statusCode, code } = error;
  const kind = name === "Error" ? error.constructor.name : name;
  return JSON.parse(JSON.stringify({ name: kind, message, status: status ?? statusCode ?? status_code, code }));
}

export async function print({ real, ...scenarios }) {
  const results = await Promise.all(
    Object.entries(model ? { real } : scenarios).map(async ([name, scenario]) => {
      try {
        return [name, await scenario(name)];
      } catch (error) {
        return [name, { thrown: told(error) }];
      }
    }),
  );
  // Clients leave connections and timers behind that would keep the process.
  process.stdout.write(JSON.stringify(Object.fromEntries(results)), () => process.exit(0));
}
