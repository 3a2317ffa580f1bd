import { Marked, type Token, Tokenizer, type TokenizerExtension, type Tokens } from "marked";
import { decodeString } from "micromark-util-decode-string";
import remend from "remend";

/** A formula in TeX; `raw` is how it was written. */
export interface MathToken {
  type: "math";
  raw: string;
  tex: string;
  display: boolean;
}

// Up to a blank line, as in Pandoc.
const DISPLAY = /\$\$((?:(?!\n[ \t]*\n|\$\$)[\s\S])+)\$\$|\\\[((?:(?!\n[ \t]*\n|\\\])[\s\S])+)\\\]/;
// Pandoc's rule: what begins with a space, ends with one, or has a digit behind it is money.
const INLINE =
  /\$(?![\s$])((?:\\[\s\S]|[^\\$`\n]|\n(?![ \t]*\n))+)(?<!\s)\$(?!\d)|\\\(((?:(?!\n[ \t]*\n|\\\))[\s\S])+)\\\)/;

/** What is a formula where this pattern fits. */
function math(pattern: RegExp, level: "block" | "inline", display: boolean, start: RegExp): TokenizerExtension {
  const whole = new RegExp(
    level === "block" ? `^ {0,3}(?:${pattern.source})[ \\t]*(?:\\n+|$)` : `^(?:${pattern.source})`,
  );
  return {
    name: `${display ? "display" : "inline"} math in ${level}`,
    level,
    start: (source) => start.exec(source)?.index,
    tokenizer(source): MathToken | undefined {
      const [raw, dollars, brackets] = whole.exec(source) ?? [];
      return raw === undefined ? undefined : { type: "math", raw, tex: (dollars ?? brackets ?? "").trim(), display };
    },
  };
}

/** A table whose rows keep what stands behind the last column, in that column: Markdown drops it. */
function table(this: Tokenizer, source: string): Tokens.Table | undefined {
  const found = Tokenizer.prototype.table.call(this, source);
  const raw = found?.raw
    .split("\n")
    .map((line, row) => (row < 2 ? line : withAllCells(line, found.header.length)))
    .join("\n");
  if (found === undefined || raw === undefined || raw === found.raw) return found;
  return { ...found, ...Tokenizer.prototype.table.call(this, raw), raw: found.raw };
}

function withAllCells(row: string, columns: number): string {
  let seen = 0;
  return row.replace(/(?<!\\)\|/g, (bar, at: number) => {
    const isBetween = row.slice(0, at).trim() !== "" && row.slice(at + 1).trim() !== "";
    if (isBetween) seen += 1;
    return isBetween && seen >= columns ? `\\${bar}` : bar;
  });
}

const FORMULAS = new RegExp(`${DISPLAY.source}|${INLINE.source}`, "g");
const markdown = new Marked({
  extensions: [
    math(DISPLAY, "block", true, /(?<=\n) {0,3}(?:\$\$|\\\[)/),
    math(DISPLAY, "inline", true, /\$\$|\\\[/),
    math(INLINE, "inline", false, /\$|\\\(/),
  ],
  // What looks like HTML is text.
  tokenizer: { html: () => undefined, tag: () => undefined, table },
  hooks: { emStrongMask: (source) => source.replace(FORMULAS, (formula) => "a".repeat(formula.length)) },
});

/** The blocks of a Markdown text. */
export function blocksOf(text: string): Token[] {
  return markdown.lexer(text);
}

/**
 * Cuts a growing text into blocks; what is open at its end is taken as closed. Only the last two blocks can still
 * change, so that each call reads no more than these and what is new.
 */
export function createBlocks(): (text: string) => Token[] {
  let before = "";
  let settled: Token[] = [];
  let from = 0;
  return (text) => {
    if (!text.startsWith(before)) [settled, from] = [[], 0];
    before = text;
    const rest = blocksOf(text.slice(from));
    const open = rest.findLastIndex(({ type }) => type !== "space");
    const sure = rest.slice(
      0,
      Math.max(
        0,
        rest.findLastIndex(({ type }, at) => type !== "space" && at < open),
      ),
    );
    const blocks = [...settled, ...withEnd(rest)];
    settled = [...settled, ...sure];
    from += sure.reduce((length, { raw }) => length + raw.length, 0);
    return blocks;
  };
}

/** These blocks, the last one as if what is open in it were closed. */
function withEnd(blocks: Token[]): Token[] {
  const last = blocks.at(-1);
  if (last === undefined || last.type === "code") return blocks;
  return [...blocks.slice(0, -1), ...blocksOf(remend(last.raw, { htmlTags: false, images: false }))];
}

/** A text with its `&amp;` and the like as the characters they stand for. */
export function decoded(text: string): string {
  return text.replace(/&(?:#\d{1,7}|#x[\da-f]{1,6}|[\da-z]{1,31});/gi, (reference) => decodeString(reference));
}
