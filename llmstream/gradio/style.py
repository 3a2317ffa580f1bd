"""The style of the chat page, and the scripts that bring it where Gradio has no place for it."""

from __future__ import annotations

import json

from llmstream.gradio.whitespace_script import KEEP_TEXT

STYLE = """
#title h1 { font-size: 1.35rem; margin: 0; }
#title p { margin: 0.25rem 0 0; color: var(--body-text-color-subdued); }
#notice { background: #fff3cd; border-radius: 6px; padding: 8px 12px; }
#notice, #notice * { color: #4d3800 !important; }
#chat { --llmstream: 1; border-style: none !important; background: none; }
#chat .bubble-wrap { background: none; padding-inline: 0; }
#chat .message-row { margin-inline: 0; max-width: 100%; }
#chat .message-buttons .icon-button-wrapper { margin-inline: 0; }
#chat .message-row:has(.thought-group) { margin-block: 8px; }
#chat .message-row .flex-wrap, #chat .message, #chat .message > div { min-width: 0; max-width: 100%; }
#chat .message-content { overflow-wrap: anywhere; }
#chat pre { overflow-x: auto; }
#chat .message.bot { border: none; background: none; padding-inline: 0; box-shadow: none; }
/* Notes (thinking, tools, sources, errors) have nothing to copy. */
#chat .message-row:has(.thought-group) + .message-buttons button:first-child { display: none; }
#chat .message-row:has(.thought-group) + .message-buttons:not(:has(button + button)) { display: none; }
/* An image is shared with nobody, and need not fill the window. */
#chat .user-row.message-row:has(.image-container) + .message-buttons { display: none; }
#chat .user-row .image-container img { max-height: 240px; width: auto; }
#chat .options { display: flex; flex-wrap: wrap; justify-content: flex-start; margin: 0; padding: 8px 0; gap: 8px; }
#chat .option { width: auto; padding: 8px 16px; border-style: solid; }
#line, #line * { font-size: 0.8rem; color: var(--body-text-color-subdued); min-height: 1.2rem; }
#under-box { align-items: center; flex-wrap: nowrap; }
#model { flex: 0 1 280px; margin: 0 !important; }
#theme { flex: none; margin-left: auto; font-weight: normal; color: var(--body-text-color-subdued); }
"""
# In somebody else's Blocks the page has no style of ours, and the conversation no window to fill.
_IN_PLACE = "#chat.fills { height: min(70dvh, 640px) !important; }"
PREPARE = f"""() => {{
  ({KEEP_TEXT})();
  const chat = document.querySelector("#chat");
  if (!chat || getComputedStyle(chat).getPropertyValue("--llmstream")) return;
  const style = document.createElement("style");
  style.textContent = {json.dumps(STYLE + _IN_PLACE)};
  document.head.append(style);
}}"""

SWITCH_THEME = "() => { document.body.classList.toggle('dark') }"
TYPE_ON = "() => { document.querySelector('#box textarea').focus() }"
