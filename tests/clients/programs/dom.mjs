// What a page's code finds in a browser, without one. Import it before React and what draws with it.
import { Window } from "happy-dom";

const window = new Window({ url: "http://localhost/" });
const names = ["document", "HTMLElement", "Node", "MutationObserver", "ResizeObserver", "sessionStorage", "requestAnimationFrame", "cancelAnimationFrame"];
for (const name of names) {
  globalThis[name] = window[name];
}
window.fetch = globalThis.fetch;
globalThis.window = window;
