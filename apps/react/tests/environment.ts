import { builtinEnvironments, type Environment } from "vitest/runtime";

/** A page of happy-dom whose requests are Node's own: they go over real sockets to the servers of the tests. */
const { fetch, Headers, Request, Response, AbortController, AbortSignal, URL } = globalThis;

export default {
  name: "page",
  viteEnvironment: "client",
  async setup(global, options) {
    const page = await builtinEnvironments["happy-dom"].setup(global, options);
    Object.assign(global, { fetch, Headers, Request, Response, AbortController, AbortSignal, URL });
    return page;
  },
} satisfies Environment;
