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
  const TABS = "^( *)(\\t+)", NO_BREAK_SPACE = "\\u00a0";
  const OPENING = /^((?:[ \t>]|[-*+][ \t]|\d+[.)][ \t])*)(`{3,}(?=[^`]*$)|~{3,})/;
  const replace = String.prototype.replace;

  function replaceOutsideCode(text, pattern, by) {
    let closing = null;
    const lines = text.split("\n").map((line) => {
      if (closing) {
        if (closing.test(line)) closing = null;
        return line;
      }
      const [, before, fence] = OPENING.exec(line) ?? [];
      if (fence) closing = new RegExp(`^[ >]{0,${before.length + 3}}${fence}${fence[0]}*[ \\t]*$`);
      return replace.call(line, pattern, by);
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
