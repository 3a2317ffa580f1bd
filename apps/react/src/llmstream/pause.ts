/** Waits so many milliseconds, or until the signal aborts; `hasty`: or the network is back or the page shown again. */
export function pause(ms: number, signal?: AbortSignal, hasty = false): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", over);
      page?.removeEventListener("online", over);
      page?.document?.removeEventListener("visibilitychange", over);
      resolve();
    };
    const page = hasty ? globalThis.window : undefined;
    const timer = setTimeout(over, ms);
    signal?.addEventListener("abort", over);
    page?.addEventListener("online", over);
    page?.document?.addEventListener("visibilitychange", over);
  });
}
