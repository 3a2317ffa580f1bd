"""Text in Markdown: a stranger's text shown as text, and a model's Markdown with nothing in it that acts.

A model's Markdown may be shown by programs that turn its HTML into elements and load its images (a notebook's
front end, nbconvert, a viewer on the web). Each reads Markdown a little differently, so whatever is not plainly code
for all of them is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

# A bare address becomes a link, backslashes and all, unless there is one before its slashes.
SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$&]|:(?=//))")
BLOCKS = MarkdownIt("commonmark", {"html": False}).enable("table").disable("inline")

_CODE_END = "</code></pre>"
# What some programs take for the end of a line, and others not.
_LINE_ENDS = str.maketrans(dict.fromkeys("\v\f\x1c\x1d\x1e\x85\u2028\u2029", " "))
_TICKS = re.compile("`+")
# Formulas as models write them; in Markdown they are $…$ and $$…$$. Pandoc's rule tells them from prices: no space
# inside the dollars, no digit behind. None is longer than this, as a model may write nothing but beginnings of them.
_LONGEST = "{1,2000}"
FORMULA = re.compile(
    rf"\$\$(?P<block>(?:(?!\n\s*\n)[^$`]){_LONGEST})\$\$"
    rf"|\\\[(?P<bracket>[^$`]{_LONGEST}?)\\\]|\\\((?P<round>[^$`\n]{_LONGEST}?)\\\)"
    rf"|(?<![\\$])\$(?P<inline>(?![\s$])(?:\\[^\n]|[^\\$`\n]){_LONGEST}(?<!\s))\$(?![\d$])"
    rf"|(?P<environment>\\begin\{{(?P<name>[a-z]+\*?)\}}(?:(?!\n\s*\n)[^$`]){_LONGEST}?\\end\{{(?P=name)\}})"
)

# What may begin or end math, and swallow the marks of code for a program that looks for math first; or for links.
_MAYBE_MATH = re.compile(r"\$|\\(?:begin|end)\{")
_NO_MATH = re.compile(
    r"(?P<url>https?://[^\s()<>&]*)|(?P<command>\\+)(?=(?:begin|end)\{)|(?P<dollar>\\?\$)|(?:\\\\)++|\\[^\\]",
    re.IGNORECASE,
)
# MathJax looks for math in what is shown, where an escaped dollar is one like others; but not across elements.
_DOLLAR = "<span>&#36;</span>"
_URL_BEFORE = re.compile(r"://(?:(?!://)[^\s`])*+`")
_IMAGE, _EXCLAMATION = re.compile(r"(?<!!)!++(?=\[[^\]]{0,2000}\][(\[])"), re.compile(r"!(?=\[)")
_LINK = re.compile(r"\]([(:])(?!\s*(?:https?://|mailto:|[^\s:&\\()]+(?:[\s)]|$)|\)))", re.IGNORECASE)
# Between the cells of a table's row.
_BAR = re.compile(r"(?<!\\)\|")
# A link that would show nothing.
_EMPTY = re.compile(r"\[(?=\s*\]\()")
# Definitions are not shown: whatever a model writes so is.
_DEFINITION = re.compile(r"^([ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*)\[(?=[^\]\n]+\]:)", re.MULTILINE)
# A code block that every program takes for one: an opening line without surprises …
_CONTAINERS = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*")
_OPENING = re.compile(_CONTAINERS.pattern + r"(?P<fence>`{3,}|~{3,})[\w+#.-]*[ \t]*")
# … and in it nothing that looks like the end of one.
_CLOSING = re.compile(r"[\s>]*(?:`{3}|~{3})")


def escape(text: str) -> str:
    """Text as Markdown that shows just this text, on one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def fenced(value: Any) -> str:
    """A value as a code block that its own text can't end."""
    is_text = isinstance(value, str)
    text = value if is_text else json.dumps(value, ensure_ascii=False, indent=2)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{'' if is_text else 'json'}\n{text}\n{fence}\n\n"


def source_list(sources: Sequence[Any]) -> str:
    """Sources as a Markdown list, with links where an address is http."""
    lines = []
    for number, source in enumerate(sources, 1):
        fields = source if isinstance(source, Mapping) else {"title": source}
        title, url = escape(str(fields.get("title") or "Untitled")), str(fields.get("url") or "")
        if urlsplit(url).scheme in ("http", "https"):
            title = f"[{title}]({quote(url, safe=':/?#@!$&*+,;=%~')})"
        excerpt = escape(str(fields.get("excerpt") or ""))
        lines.append(f"{number}. {title}" + (f"  \n   {excerpt}" if excerpt else ""))
    return "\n".join(lines)


def escape_lines(text: str) -> str:
    """Text as Markdown that shows just this text, with its line ends."""
    return "  \n".join(escape(line) or "&nbsp;" for line in text.strip().splitlines())


def inert_markdown(text: str) -> str:
    """A model's Markdown without HTML, images and links to anything but the web; its code stays as it is.

    An image becomes a link to it. A code block that is not closed is closed, so that more may follow.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd").translate(_LINE_ENDS)
    tokens = BLOCKS.parse(text)
    lines = with_all_cells(text, tokens).split("\n")
    done = 0
    found: list[str] = []
    for begin, end, token in _regions(tokens):
        if begin < done:
            continue
        if begin > done:
            found.append(_inert("\n".join(lines[done:begin])))
        region = "\n".join(lines[begin:end])
        if token.type == "inline":
            found.append(_inert_inline(region))
        elif _is_plainly_code(lines[begin:end]) and not (_MAYBE_MATH.search(region) and _has_math(lines, begin, end)):
            found.append(region)
        else:
            found.append(_inert_code(region, token))
        done = end
    if done < len(lines):
        found.append(_inert("\n".join(lines[done:])))
    is_open = not found[-1].endswith(_CODE_END)
    return "\n".join([*found, *(_missing_end(lines, tokens) if is_open else ())])


def with_all_cells(text: str, tokens: Sequence[Token]) -> str:
    """Markdown with what stands behind a table's last column in that column: it would be dropped.

    tokens: what the text was parsed to.
    """
    lines, columns = text.split("\n"), 0
    for token in tokens:
        if token.type == "table_open":
            columns = 0
        elif token.type == "th_open":
            columns += 1
        elif token.type == "tr_open" and columns and token.map is not None:
            line = lines[token.map[0]]
            bars = [bar.start() for bar in _BAR.finditer(line)]
            inner = [at for at in bars if line[:at].strip(" \t>") and line[at + 1 :].strip()]
            for at in reversed(inner[columns - 1 :]):
                line = f"{line[:at]}\\{line[at:]}"
            lines[token.map[0]] = line
    return "\n".join(lines)


def _regions(tokens: Sequence[Token]) -> Iterator[tuple[int, int, Token]]:
    """The lines of each fenced code block and of each stretch of text."""
    for token in tokens:
        if token.map is not None and token.type in ("fence", "inline"):
            yield token.map[0], token.map[1], token


def _has_math(lines: list[str], begin: int, end: int) -> bool:
    """True if there may be math outside of these lines, and a program that looks for math first looks into them.

    JupyterLab does not look into a block that begins and ends at the very beginning of a line.
    """
    fence = lines[end - 1]
    if fence[:3] in ("```", "~~~") and lines[begin].startswith(fence) and not fence.strip(fence[0]):
        return False
    return any(map(_MAYBE_MATH.search, [*lines[:begin], *lines[end:]]))


def _is_plainly_code(lines: list[str]) -> bool:
    """True if all programs see one code block here."""
    opening = _OPENING.fullmatch(lines[0])
    last = lines[-1].strip(" \t>")
    closed = len(lines) > 1 and opening is not None and last.startswith(opening["fence"]) and not last.strip(last[:1])
    inside = lines[1:-1] if closed else lines[1:]
    return opening is not None and not any(_CLOSING.match(line) for line in inside)


def _inert_code(region: str, token: Token) -> str:
    """A code block that some program may take for something else, made safe.

    Where that would be HTML it becomes a block in one line, in which every program sees nothing but text.
    """
    inert, opening = _inert(region), _CONTAINERS.match(region)
    if inert == region or opening is None or not region.startswith(token.markup, opening.end()):
        return inert
    return f"{opening[0]}<pre><code>{_entities(token.content)}{_CODE_END}"


def _entities(code: str) -> str:
    return re.sub(r"[^\w ]|_", lambda match: f"&#{ord(match[0])};", code)


def _inert_inline(text: str) -> str:
    """The text of a paragraph, a heading or a table's row made inert; code spans that all programs see alike stay."""
    found, done = [], 0
    for begin, end in _code_spans(text):
        span = text[begin:end]
        # A program that looks for math first would find some in it.
        code = f"<code>{_entities(_code_in(span))}</code>" if _MAYBE_MATH.search(span) else span
        found += [_inert(text[done:begin]), code]
        done = end
    return "".join([*found, _inert(text[done:])])


def _code_in(span: str) -> str:
    code = span.strip("`")
    return code[1:-1] if code.startswith(" ") and code.endswith(" ") and code.strip() else code


def _code_spans(text: str) -> list[tuple[int, int]]:
    """The places of code spans: from some backticks to the next that are as many."""
    if "\\`" in text or _URL_BEFORE.search(text):
        return []
    spans: list[tuple[int, int]] = []
    runs = [match.span() for match in _TICKS.finditer(text)]
    while runs:
        begin, end = runs.pop(0)
        closing = next((index for index, (a, b) in enumerate(runs) if b - a == end - begin), None)
        if closing is not None:
            spans.append((begin, runs[closing][1]))
            runs = runs[closing + 1 :]
    return [] if any(set("\n|") & set(text[begin:end]) for begin, end in spans) else spans


def _inert(text: str) -> str:
    found, done = [], 0
    for match in FORMULA.finditer(text):
        found += [_inert_text(text[done : match.start()]), _math(match)]
        done = match.end()
    return "".join([*found, _inert_text(text[done:])])


def _inert_text(text: str) -> str:
    text = _NO_MATH.sub(_no_math, text.replace("<", "&lt;"))
    text = _EMPTY.sub("&#91;", _EXCLAMATION.sub("&#33;", _IMAGE.sub("", text)))
    return _LINK.sub(r"]\\\1", _DEFINITION.sub(r"\1&#91;", text))


def _no_math(match: re.Match[str]) -> str:
    if match["url"]:
        return match["url"].replace("$", "%24")
    if match["dollar"]:
        return _DOLLAR
    return "&#92;" * len(match["command"]) if match["command"] else match[0]


def _math(match: re.Match[str]) -> str:
    mark = "" if match["environment"] else "$" if match["inline"] or match["round"] else "$$"
    body = match["block"] or match["bracket"] or match["inline"] or match["round"] or match["environment"]
    return mark + _LINK.sub(r"]\\\1", _EXCLAMATION.sub("", body.replace("<", r"\lt "))) + mark


def _missing_end(lines: list[str], tokens: Sequence[Token]) -> list[str]:
    last = tokens[-1] if tokens else None
    if last is None or last.type != "fence" or last.map is None:
        return []
    begin, end = last.map
    closed = end - begin > 1 and lines[end - 1].strip().startswith(last.markup) and not lines[end - 1].strip(" \t`~")
    return [] if closed else [last.markup]
