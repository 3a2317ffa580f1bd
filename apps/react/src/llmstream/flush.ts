// Nobody sees more than 60 updates a second, also on a faster screen.
const FRAME_MS = 15;
// A hidden page draws no frames, but its title or a reader of its store may want to know.
const HIDDEN_MS = 500;

/** Calls back once for any number of requests: at the next frame, or after half a second where the page is hidden. */
export class Flush {
  #frame: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #last = 0;

  constructor(readonly callback: () => void) {}

  soon(): void {
    if (this.#timer !== undefined) return;
    const drawn = typeof requestAnimationFrame === "function";
    this.#timer = setTimeout(this.now, drawn ? HIDDEN_MS : FRAME_MS);
    if (drawn) this.#frame = requestAnimationFrame(this.#onFrame);
  }

  now = (): void => {
    clearTimeout(this.#timer);
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#timer = undefined;
    this.#frame = undefined;
    this.#last = performance.now();
    this.callback();
  };

  #onFrame = (): void => {
    if (performance.now() - this.#last >= FRAME_MS) this.now();
    else this.#frame = requestAnimationFrame(this.#onFrame);
  };
}
