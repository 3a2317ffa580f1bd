/** What went wrong: a code to branch on, a message for a person, and whether asking again can help. */
export class LlmstreamError extends Error {
  override name = "LlmstreamError";

  constructor(
    readonly code: string,
    message: string,
    readonly retryable = false,
    /** The HTTP status, where there was one. */
    readonly status?: number,
    /** How long the server asked to wait before the next request, in milliseconds. */
    readonly retryAfterMs?: number,
  ) {
    super(message);
  }
}

/** The error that a refused request carries. */
export async function errorOf(response: Response): Promise<LlmstreamError> {
  const seconds = Number.parseFloat(response.headers.get("retry-after") ?? "");
  const retryAfterMs = Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : undefined;
  try {
    const { code, message, retryable } = (await response.json()) as Record<string, unknown>;
    if (typeof code === "string" && typeof message === "string") {
      return new LlmstreamError(code, message, retryable === true, response.status, retryAfterMs);
    }
  } catch {
    // A proxy's page, not the server's own answer.
  }
  const retryable = response.status === 429 || response.status >= 500;
  const message = `The server answered with status ${response.status}. Is it llmstream's address?`;
  return new LlmstreamError("http", message, retryable, response.status, retryAfterMs);
}
