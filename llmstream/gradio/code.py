"""A script for Gradio's page that leaves the model's code as it is.

Before it reads Markdown, the `marked` that Gradio 6 brings turns the tabs at the beginning of every line into spaces,
in code as well, so that a Makefile copied from the page is broken; and Prism, which colours code, takes no-break spaces
for spaces. There are no settings for it, so the script steps in where the two ask for just that. Sources: `blockTokens`
of marked and `util.encode` of Prism, as bundled in Gradio's templates/frontend/assets. Where another Gradio reads
Markdown in another way, the script does nothing.
"""

from __future__ import annotations

KEEP_CODE = r"""<script>
(() => {
  "use strict";
  const TABS = "^( *)(\\t+)", NO_BREAK_SPACE = "\\u00a0";
  const OPENING = /^((?:[ \t>]|[-*+][ \t]|\d+[.)][ \t])*)(`{3,}(?=[^`]*$)|~{3,})/;
  const replace = String.prototype.replace;

  // In a list, the tabs up to where the fence begins are the list's.
  function withoutTabs(line, width) {
    let taken = 0, spaces = "";
    while (spaces.length < width && (line[taken] === " " || line[taken] === "\t")) {
      spaces += line[taken++] === "\t" ? "    " : " ";
    }
    return spaces + line.slice(taken);
  }

  function replaceOutsideCode(text, pattern, by) {
    let closing = null, width = 0;
    const lines = text.split("\n").map((line) => {
      if (closing) {
        const kept = withoutTabs(line, width);
        if (closing.test(kept)) closing = null;
        return kept;
      }
      const replaced = replace.call(line, pattern, by);
      const [, before, fence] = OPENING.exec(replaced) ?? [];
      if (fence) {
        width = before.length;
        closing = new RegExp(`^[ >]{0,${width + 3}}${fence[0]}{${fence.length},}[ \\t]*$`);
      }
      return replaced;
    });
    return lines.join("\n");
  }

  String.prototype.replace = function (pattern, by) {
    const source = pattern instanceof RegExp ? pattern.source : "";
    if (source === TABS) return replaceOutsideCode(String(this), pattern, by);
    return source === NO_BREAK_SPACE ? String(this) : replace.call(this, pattern, by);
  };
})();
</script>"""
