import { type Client, type ClientOptions, createClient, type ResetEvent, type RunEvent } from "../src/llmstream";
import { RUN } from "./streams";

/** A client that comes back at once. */
export function hasty(url: string, options: ClientOptions = {}): Client {
  return createClient({ url, maxPauseMs: 1, ...options });
}

/** Every event of a run that the client hands out. */
export async function collect(client: Client, after = 0): Promise<(RunEvent | ResetEvent)[]> {
  const found: (RunEvent | ResetEvent)[] = [];
  for await (const batch of client.follow(RUN, { after })) found.push(...batch);
  return found;
}

/** What a rejected promise rejects with. */
export async function refusal(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    (value) => {
      throw new Error(`Expected a refusal, got ${JSON.stringify(value)}.`);
    },
    (error: unknown) => error,
  );
}
