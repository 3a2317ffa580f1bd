export const WRONG_ADDRESS = "Does llmstream run there?";

/** What an error may tell beside its code and its message. */
interface More {
  retryable?: boolean;
  status?: number | undefined;
  retryAfterMs?: number | undefined;
}

/** What went wrong: a code to branch on, a message for a person, and whether asking again can help. */
export class LlmstreamError extends Error {
  override name = "LlmstreamError";
  readonly code: string;
  readonly retryable: boolean = false;
  /** The HTTP status, where there was one. */
  declare readonly status: number | undefined;
  /** How long the server asked to wait before the next request, in milliseconds. */
  declare readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, more: More = {}) {
    super(message);
    this.code = code;
    Object.assign(this, more);
  }
}

/** The error for an answer of which the server has nothing more, or something else. */
export function forgotten(): LlmstreamError {
  const message = "The server does not know how to go on with this answer. Ask again.";
  return new LlmstreamError("protocol", message, { retryable: true });
}

/** What helps a developer: said on pages of their own machine and outside of pages, not to the people of a site. */
export function hint(text: string): string {
  const host = globalThis.location?.hostname ?? "localhost";
  return ["localhost", "127.0.0.1", "[::1]"].includes(host) ? ` ${text}` : "";
}

/** The error that a refused request carries. */
export async function errorOf(response: Response): Promise<LlmstreamError> {
  const { status } = response;
  const seconds = Number.parseFloat(response.headers.get("retry-after") ?? "");
  const retryAfterMs = seconds >= 0 && seconds < 1e9 ? seconds * 1000 : undefined;
  try {
    const { code, message, retryable } = (await response.json()) as Record<string, unknown>;
    if (typeof code === "string" && typeof message === "string") {
      return new LlmstreamError(code, message, { retryable: retryable === true, status, retryAfterMs });
    }
  } catch {
    // A proxy's page, not the server's own answer.
  }
  const message = `The server answered with status ${status}.${hint(WRONG_ADDRESS)}`;
  return new LlmstreamError("http", message, { retryable: status === 429 || status >= 500, status, retryAfterMs });
}
