"""A script for Gradio's page that keeps what a model or a person wrote: every word, and code to the last space.

The `marked` that Gradio 6 brings takes a word in angle brackets for HTML, which the page then drops; it drops
definitions of links and cells behind a table's last column, and turns the tabs at the beginning of every line into
spaces, in code as well, so that a Makefile copied from the page is broken. Prism, which colours code, takes no-break
spaces for spaces. Gradio itself looks for formulas in code, and knows no `$…$` that leaves prices alone. There are no
settings for it, so the script steps in where they ask for just that: the formulas in Gradio's markdown-code, and their
delimiters where it makes rules of them, `blockTokens` and the rules of marked, `util.encode` of Prism, as bundled in
Gradio's templates/frontend/assets. The text itself stays as it is, for copying, editing and asking.
"""

from __future__ import annotations

KEEP_TEXT = r"""() => {
  "use strict";
  if (window.llmstreamKeepsText) return;
  window.llmstreamKeepsText = true;
  const TABS = "^( *)(\\t+)", NO_BREAK_SPACE = "\\u00a0", PLACE = "%%%LATEX_BLOCK_(\\d+)%%%";
  const ESCAPED = "[-\\/\\\\^$*+?.()|[\\]{}]", MATH = ["$$", "\\[", "\\]", "\\(", "\\)"], NEVER = "(?!)";
  const [FIRST, ...OTHERS] = ["\\$\\$", "\\\\\\[", "\\\\\\("].map((left) => left + "([\\s\\S]+?)");
  const RULES = ["^ {0,3}(?:<(script|pre|", "^ {0,3}\\[(", "^<!--"];  // of HTML and definitions
  const OPENING = /^((?:[ \t>]|[-*+][ \t]|\d+[.)][ \t])*)(`{3,}(?=[^`]*$)|~{3,})/;
  // Code, what is escaped, and Pandoc's rule: a space or a digit tells a price from a formula.
  const CODE = /(?<![\\`])(`+)(?!`)((?:(?!\n\s*\n)[^])*?[^`])\1(?!`)/g;
  const FORMULA = /\\[^]|\$\$[^$]+\$\$|(?<!\$)\$(?![\s$])((?:\\.|[^\\$`\n])*)(?<!\s)\$(?![\d$])/g;
  const PICTURE = /!+(?=\[[^\]]*\][[(])/g;
  const replace = String.prototype.replace, exec = RegExp.prototype.exec;
  let unknown = RULES.length;

  // What reads Markdown next is told that there is no HTML in it: its rules are found by their use, once.
  function findRules() {
    if (!unknown || RegExp.prototype.exec !== exec) return;
    RegExp.prototype.exec = function (text) {
      if (!RULES.some((source) => this.source.startsWith(source))) return exec.call(this, text);
      unknown -= 1;
      this.exec = () => null;
      return null;
    };
    queueMicrotask(() => { RegExp.prototype.exec = exec; });
  }

  // In a list, the tabs up to where the fence begins are the list's.
  function withoutTabs(line, width) {
    let taken = 0, spaces = "";
    while (spaces.length < width && (line[taken] === " " || line[taken] === "\t")) {
      spaces += line[taken++] === "\t" ? "    " : " ";
    }
    return spaces + line.slice(taken);
  }

  const tabless = (line) => replace.call(line, /^( *)(\t+)/, (_, spaces, tabs) => spaces + "    ".repeat(tabs.length));

  // A text with its blocks of code, line by line, and what stands between them changed.
  function changed(text, inCode, between) {
    let closing = null, width = 0, lines = [];
    const found = [];
    const flush = () => {
      if (lines.length) found.push(between(lines.join("\n")));
      lines = [];
    };
    for (const line of text.split("\n")) {
      if (closing) {
        found.push(inCode(line, width));
        if (closing.test(withoutTabs(line, width))) closing = null;
        continue;
      }
      const [, before, fence] = OPENING.exec(tabless(line)) ?? [];
      lines.push(line);
      if (fence) {
        width = before.length;
        closing = new RegExp(`^[ >]{0,${width + 3}}${fence[0]}{${fence.length},}[ \\t]*$`);
        flush();
      }
    }
    flush();
    return found.join("\n");
  }

  function changedOutsideCode(text, change) {
    return changed(text, (line) => line, (stretch) => {
      let done = 0, found = "";
      for (const span of stretch.matchAll(CODE)) {
        found += change(stretch.slice(done, span.index)) + span[0];
        done = span.index + span[0].length;
      }
      return found + change(stretch.slice(done));
    });
  }

  function mended(text) {
    const known = replace.call(text, FORMULA, (all, formula) => (formula === undefined ? all : `\\(${formula}\\)`));
    return replace.call(known, PICTURE, "");
  }

  // Tables whose rows keep what stands behind the last column, in that column.
  function withAllCells(text) {
    let columns = 0;
    return text.split("\n").map((line) => {
      const bars = [...line.matchAll(/(?<!\\)\|/g)].map(({ index }) => index);
      const inner = bars.filter((at) => line.slice(0, at).trim() && line.slice(at + 1).trim());
      if (!bars.length) columns = 0;
      else if (/^[\s>|:-]*-[\s|:-]*$/.test(line)) columns = inner.length + 1;
      else if (columns) {
        for (const at of inner.slice(columns - 1).reverse()) line = line.slice(0, at) + "\\" + line.slice(at);
      }
      return line;
    }).join("\n");
  }

  String.prototype.replace = function (pattern, by) {
    const source = pattern instanceof RegExp ? pattern.source : "";
    const change = (text) => replace.call(text, pattern, by);
    if (source === TABS) return changed(String(this), withoutTabs, change);
    if (source.startsWith(FIRST)) {
      findRules();
      const whole = changed(String(this), (line) => line, withAllCells);
      return changedOutsideCode(changedOutsideCode(whole, mended), change);
    }
    if (OTHERS.some((left) => source.startsWith(left))) return changedOutsideCode(String(this), change);
    if (source === PLACE) {
      return replace.call(this, pattern, (all, number) => {
        try { return by(all, number) ?? all; } catch { return all; }  // the model's own
      });
    }
    // Formulas outside of code have their places by then: it would look in code too, and drop what stands before one.
    if (source === ESCAPED && MATH.includes(String(this))) return NEVER;
    return source === NO_BREAK_SPACE ? String(this) : replace.call(this, pattern, by);
  };
}"""
