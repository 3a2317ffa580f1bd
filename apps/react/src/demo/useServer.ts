import { useCallback, useEffect, useState } from "react";
import { hint } from "../llmstream/errors";

/** What the server tells of itself; `undefined` until it has. */
export interface Server {
  models: string[];
  defaultModel: string;
  /** What a question may be asked with, and whether an answer that was cut may be continued. */
  takes: { model: boolean; thinking: boolean; images: boolean; continue: boolean };
  /** What everybody should know, the demo's banner for one. */
  notice?: string;
}

/** What a server answers to `GET /models`. */
interface Models {
  models: { name: string }[];
  default: string | null;
  takes: Server["takes"];
}

/** Of a server that does not tell: one with a chain of its own would. */
const ANYTHING = { model: true, thinking: true, images: true, continue: true };

interface Health {
  notice?: string;
  error?: { message: string };
  /** Where the server refused to tell. */
  message?: string;
}

async function ask(): Promise<Server> {
  const [health, models] = await Promise.all(["./health", "./models"].map((path) => fetch(path)));
  if (!health || !models) throw new Error("no health");
  const { notice, error, message } = (await health.json()) as Health;
  const found = models.ok ? ((await models.json()) as Models) : null;
  const said = notice ?? error?.message ?? message;
  return {
    models: found?.models.map((model) => model.name) ?? [],
    defaultModel: found?.default ?? "",
    takes: found?.takes ?? ANYTHING,
    ...(said === undefined ? {} : { notice: said }),
  };
}

const UNREACHABLE = `The server can't be reached.${hint("Is `llmstream serve` running?")}`;

/** What the server tells, asked again when `again` is called and when the page gets the focus. */
export function useServer(): [Server | undefined, () => void] {
  const [server, setServer] = useState<Server>();
  const again = useCallback(() => {
    ask().then(setServer, () =>
      setServer((before = { models: [], defaultModel: "", takes: ANYTHING }) => ({ ...before, notice: UNREACHABLE })),
    );
  }, []);
  useEffect(() => {
    again();
    window.addEventListener("focus", again);
    return () => window.removeEventListener("focus", again);
  }, [again]);
  return [server, again];
}
