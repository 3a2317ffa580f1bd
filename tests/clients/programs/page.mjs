// Runs a TypeScript module of a page and prints the page's text. Its component `Chat`, if it has one, is drawn, and the
// first button pressed. Arguments: the module, and the text to wait for.
import "./dom.mjs";

import { readFileSync, writeFileSync } from "node:fs";

import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { transform } from "sucrase";

const [path, text] = process.argv.slice(2);
const options = { transforms: ["typescript", "jsx"], jsxRuntime: "automatic", production: true };
writeFileSync(`${path}.mjs`, transform(readFileSync(path, "utf8"), options).code);

/** Waits until the page is as wanted. */
function until(wanted) {
  return new Promise((resolve) => {
    const look = () => wanted() && resolve();
    new MutationObserver(look).observe(document.body, { childList: true, characterData: true, subtree: true });
    look();
  });
}

const { Chat } = await import(`${path}.mjs`);
if (Chat) {
  createRoot(document.body.appendChild(document.createElement("main"))).render(createElement(Chat));
  await until(() => document.querySelector("button"));
  document.querySelector("button").click();
}
await until(() => document.body.textContent.includes(text));
process.stdout.write(document.body.textContent, () => process.exit(0));
