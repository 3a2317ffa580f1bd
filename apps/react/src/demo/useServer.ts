import { useCallback, useEffect, useState } from "react";

/** What the server tells of itself; `undefined` until it has. */
export interface Server {
  models: string[];
  defaultModel: string;
  /** What everybody should know, the demo's banner for one. */
  notice?: string;
}

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
  const found = models.ok ? ((await models.json()) as { models: { name: string }[]; default: string | null }) : null;
  const said = notice ?? error?.message ?? message;
  return {
    models: found?.models.map((model) => model.name) ?? [],
    defaultModel: found?.default ?? "",
    ...(said === undefined ? {} : { notice: said }),
  };
}

/** What the server tells, asked again when `again` is called and when the page gets the focus. */
export function useServer(): [Server | undefined, () => void] {
  const [server, setServer] = useState<Server>();
  const again = useCallback(() => {
    ask().then(setServer, () =>
      setServer({ models: [], defaultModel: "", notice: "The server can't be reached. Is `llmstream serve` running?" }),
    );
  }, []);
  useEffect(() => {
    again();
    window.addEventListener("focus", again);
    return () => window.removeEventListener("focus", again);
  }, [again]);
  return [server, again];
}
