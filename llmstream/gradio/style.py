"""The style of the chat page, and the scripts that bring it where Gradio has no place for it."""

from __future__ import annotations

import json
import re

from llmstream.gradio.whitespace_script import KEEP_TEXT

# A page may have several chats, so they are told by classes; the rules outweigh Gradio's own, as those of an id do.
_OUTWEIGHING = ":not(#none)"


# Gradio's own grey for less important words is too pale to be read in most of its themes.
_QUIET = "color-mix(in srgb, var(--body-text-color) 75%, var(--background-fill-primary))"


def _of_every_chat(style: str) -> str:
    style = style.replace("$quiet", _QUIET)
    return re.sub(r"\.llmstream-[a-z-]+", lambda found: found[0] + _OUTWEIGHING, style)


STYLE = _of_every_chat("""
.llmstream-title h1 { font-size: 1.35rem; margin: 0; }
.llmstream-title p { margin: 0.25rem 0 0; color: $quiet; }
.llmstream-box textarea::placeholder, .llmstream-panel textarea::placeholder { color: $quiet; }
.llmstream-notice { background: color-mix(in srgb, #f0b429 20%, var(--body-background-fill)); }
.llmstream-notice { border-radius: 6px; padding: 8px 12px; }
/* Gradio gives a component's classes to what is around it, too. */
.llmstream-notice .llmstream-notice { background: none; padding: 0; }
.llmstream-notice code { border-color: transparent !important; }
.llmstream-notice a { color: inherit !important; }
.llmstream-chat { --llmstream: 1; border-style: none !important; background: none; }
.llmstream-chat .bubble-wrap { background: none; padding-inline: 0; }
/* Gradio lays the button that empties the conversation over its messages. */
.llmstream-chat .top-panel { position: static; align-self: flex-end; flex: none; margin-bottom: 8px; }
.llmstream-chat .top-panel { border: 1px solid var(--border-color-primary); border-radius: var(--radius-sm); }
/* Gradio scrolls before the buttons below the last message are there: who stands at the end stays there. */
.llmstream-chat .bubble-wrap > * { overflow-anchor: none; }
.llmstream-chat .bubble-wrap::after { content: ""; display: block; height: 1px; margin-top: -1px; }
.llmstream-chat .bubble-wrap::after { overflow-anchor: auto; }
.llmstream-chat .message-row { margin-inline: 0; max-width: 100%; }
.llmstream-chat .message-buttons .icon-button-wrapper { margin-inline: 0; }
.llmstream-chat .message-row:has(.thought-group) { margin-block: 8px; }
.llmstream-chat .message-row .flex-wrap, .llmstream-chat .message { min-width: 0; max-width: 100%; }
.llmstream-chat .message > div { min-width: 0; max-width: 100%; }
.llmstream-chat .message-content { overflow-wrap: anywhere; }
/* In a table long names are broken, and words are not; one that is too wide then is scrolled. */
.llmstream-chat .message-content table { display: block; max-width: 100%; overflow-x: auto; border: none; padding: 0; }
.llmstream-chat .message-content :is(th, td) { overflow-wrap: anywhere; word-break: normal; }
.llmstream-chat .message-content :is(th, td) { min-width: 5.5em; padding: 6px 8px; }
.llmstream-chat pre { overflow-x: auto; }
/* A strip of its own for the button that copies a block of code: it lay over the code. */
.llmstream-chat .code_wrap pre { padding-top: 26px; }
.llmstream-chat .code_wrap { margin-block: 8px; }
.llmstream-chat .token.comment { color: $quiet; }
.llmstream-chat .message.bot { border: none; background: none; padding-inline: 0; box-shadow: none; }
/* Notes (thinking, tools, sources, errors) have nothing to copy. */
.llmstream-chat .message-row:has(.thought-group) + .message-buttons button:first-child { display: none; }
.llmstream-chat .message-row:has(.thought-group) + .message-buttons:not(:has(button + button)) { display: none; }
/* The panel at the side is above what lies over the conversation, which is told from its text. */
.llmstream-chat { isolation: isolate; }
.llmstream-chat .scroll-down-button-container button { border: 1px solid var(--border-color-primary) !important; }
.llmstream-chat .scroll-down-button-container button { background: var(--background-fill-secondary) !important; }
.llmstream-chat .thought-group { padding-inline-end: 14px; }
/* Gradio pales what stands in messages, in notes twice. */
.llmstream-chat .message-content, .llmstream-chat .message .prose { opacity: 1; }
.llmstream-chat .thought-group :is(.duration, .message-content *) { color: $quiet; }
.llmstream-chat hr { margin-block: 16px; }
.llmstream-chat .placeholder { text-align: center; text-wrap: balance; }
/* An answer has one row of thumbs, at its end. */
.llmstream-chat .message-row:has(.thought-group) + .message-buttons:has(+ .bot-row) { display: none; }
.llmstream-chat.thumbs .message-buttons-left:has(+ .bot-row) button:nth-last-child(-n + 2) { display: none; }
/* An image is shared with nobody, and need not fill the window. */
.llmstream-chat .user-row.message-row:has(.image-container) + .message-buttons { display: none; }
.llmstream-chat .user-row .image-container img { max-height: 240px; width: auto; }
.llmstream-chat .options { display: flex; flex-wrap: wrap; justify-content: flex-start; }
.llmstream-chat .options { margin: 0; padding: 8px 0; gap: 8px; }
.llmstream-chat .option { width: auto; padding: 8px 16px; border-style: solid; }
.llmstream-line, .llmstream-line * { font-size: 0.8rem; color: $quiet; min-height: 1.2rem; }
.llmstream-under-box { align-items: center; flex-wrap: nowrap; }
.llmstream-model { flex: 0 1 280px; margin: 0 !important; }
.llmstream-theme { flex: none; margin-left: auto; font-weight: normal; }
""")
# In somebody else's Blocks the page has no style of ours, and the conversation no window to fill.
_IN_PLACE = _of_every_chat(".llmstream-chat.fills { height: min(70dvh, 640px) !important; }")
PREPARE = f"""() => {{
  ({KEEP_TEXT})();
  const chat = document.querySelector(".llmstream-chat");
  if (!chat || getComputedStyle(chat).getPropertyValue("--llmstream")) return;
  const style = document.createElement("style");
  style.textContent = {json.dumps(STYLE + _IN_PLACE)};
  document.head.append(style);
}}"""

SWITCH_THEME = "() => { document.body.classList.toggle('dark') }"


def scroll_down(box: str) -> str:
    """The script that shows a question to who asks it from further up; box: the id of its message box."""
    return f"""() => {{
      let around = document.querySelector("#{box}");
      while (around && !around.querySelector("[role=log]")) around = around.parentElement;
      const log = around?.querySelector("[role=log]");
      requestAnimationFrame(() => requestAnimationFrame(() => log?.scrollTo(0, log.scrollHeight)));
    }}"""


def type_on(box: str) -> str:
    """The script that puts the cursor into a message box; box: its id."""
    return f"() => {{ document.querySelector('#{box} textarea').focus() }}"
