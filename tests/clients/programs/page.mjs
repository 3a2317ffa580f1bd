// Runs a TypeScript module of a page and prints the page's text. Its component `Chat`, if it has one, is drawn, and its
// buttons pressed, each as soon as it is there. Arguments: the module, the text to wait for, the buttons; without any, the
// first one is pressed.
import "./dom.mjs";

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { transform } from "sucrase";

const [path, text, ...names] = process.argv.slice(2);
const options = { transforms: ["typescript", "jsx"], jsxRuntime: "automatic", production: true };

/** Writes a module as JavaScript, of which Node finds what it imports. */
function transpile(from, to) {
  const { code } = transform(readFileSync(from, "utf8"), options);
  writeFileSync(to, code.replace('"./llmstream"', '"./llmstream/index.js"').replace('"./llmstream/react"', '"./llmstream/react.js"'));
}

transpile(path, `${path}.mjs`);
const library = join(dirname(path), "llmstream"); // our own client, as somebody has copied it
const sources = existsSync(library) ? readdirSync(library).filter((name) => name.endsWith(".ts")) : [];
for (const name of sources) transpile(join(library, name), join(library, name.replace(/ts$/, "js")));

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
  for (const name of names.length > 0 ? names : [""]) {
    const button = () => [...document.querySelectorAll("button")].find((each) => each.textContent.includes(name));
    await until(button);
    button().click();
  }
}
await until(() => document.body.textContent.includes(text));
process.stdout.write(document.body.textContent, () => process.exit(0));
