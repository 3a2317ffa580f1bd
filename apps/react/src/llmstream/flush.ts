// Nobody sees more than 60 updates a second, also on a faster screen.
const FRAME_MS = 15;
// A hidden page draws no frames, but its title or a reader of its store may want to know.
const HIDDEN_MS = 500;

export interface Flush {
  /** Call back at the next frame, or after half a second where the page is hidden. */
  soon(): void;
  /** Call back at once, and not again for what was asked before. */
  now(): void;
}

/** Calls back once for any number of requests. */
export function createFlush(callback: () => void): Flush {
  let frame: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let last = 0;

  function soon(): void {
    if (timer !== undefined) return;
    const drawn = typeof requestAnimationFrame === "function";
    timer = setTimeout(now, drawn ? HIDDEN_MS : FRAME_MS);
    if (drawn) frame = requestAnimationFrame(onFrame);
  }

  function now(): void {
    clearTimeout(timer);
    if (frame !== undefined) cancelAnimationFrame(frame);
    timer = undefined;
    frame = undefined;
    last = performance.now();
    callback();
  }

  function onFrame(): void {
    if (performance.now() - last >= FRAME_MS) now();
    else frame = requestAnimationFrame(onFrame);
  }

  return { soon, now };
}
