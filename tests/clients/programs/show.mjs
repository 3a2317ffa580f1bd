// Pages whose code is a TypeScript module: their text, once they show what is wanted.
import "./dom.mjs";

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { transform } from "sucrase";

const options = { transforms: ["typescript", "jsx"], jsxRuntime: "automatic", production: true };

/** Writes a module as JavaScript, of which Node finds what it imports. */
function transpile(from, to) {
  const { code } = transform(readFileSync(from, "utf8"), options);
  writeFileSync(to, code.replace('"./llmstream"', '"./llmstream/index.js"').replace('"./llmstream/react"', '"./llmstream/react.js"'));
}

/** Waits until the page is as wanted. */
function until(wanted) {
  return new Promise((resolve) => {
    const observer = new MutationObserver(look);
    function look() {
      if (!wanted()) return;
      observer.disconnect();
      resolve();
    }
    observer.observe(document.body, { childList: true, characterData: true, subtree: true });
    look();
  });
}

/** Runs a module; its component `Chat`, if it has one, is drawn, and these buttons pressed, each once it is there. */
export async function show(path, text, names) {
  transpile(path, `${path}.mjs`);
  const library = join(dirname(path), "llmstream"); // our own client, as somebody has copied it
  const sources = existsSync(library) ? readdirSync(library).filter((name) => name.endsWith(".ts")) : [];
  for (const name of sources) transpile(join(library, name), join(library, name.replace(/ts$/, "js")));
  const { Chat } = await import(`${path}.mjs`);
  const root = createRoot(document.body.appendChild(document.createElement("main")));
  if (Chat) {
    root.render(createElement(Chat));
    for (const name of names) {
      const button = () => [...document.querySelectorAll("button")].find((each) => each.textContent.includes(name));
      await until(button);
      button().click();
    }
  }
  await until(() => document.body.textContent.includes(text));
  return { shown: document.body.textContent, root };
}
