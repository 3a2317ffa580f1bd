import { type Token, type Tokens, walkTokens } from "marked";
import { describe, expect, it } from "vitest";
import { blocksOf, createBlocks, decoded, type MathToken } from "../src/demo/tokens";

const TEXT = [
  "# A heading\nA paragraph right under it.",
  "Setext\n---",
  "1. one\n2. two\n   - inner\n\n   more of two",
  "| a | b |\n| - | - |\n| 1 | 2 |",
  "text before a fence\n```python\n# no heading\n\nprint('```')\n```",
  "~~~\n```\n~~~",
  "$$\n\\frac{1}{2}\n- x\n$$",
  "> quote\nlazy",
  "- [x] done\n\n***\n\n    indented",
  "```never\nclosed\n\n# still code",
].join("\n\n");
const KINDS = [
  ...["heading", "paragraph", "heading", "list", "table", "paragraph", "code", "code", "math", "blockquote"],
  ...["list", "hr", "code", "code"],
];

function kinds(blocks: readonly Token[]): string[] {
  return blocks.map(({ type }) => type).filter((type) => type !== "space");
}

/** All tokens in these, however deep. */
function all(tokens: readonly Token[]): Token[] {
  const found: Token[] = [];
  walkTokens([...tokens], (token) => void found.push(token));
  return found;
}

function formulas(text: string): string[] {
  return all(blocksOf(text))
    .filter((token) => token.type === "math")
    .map(
      (token) =>
        `${(token as unknown as MathToken).display ? "display" : "inline"}: ${(token as unknown as MathToken).tex}`,
    );
}

describe("the blocks of a growing text", () => {
  it("are those of the whole text", () => {
    expect(kinds(blocksOf(TEXT))).toEqual(KINDS);
    const whole = blocksOf(TEXT);
    expect(whole.map(({ raw }) => raw).join("")).toBe(TEXT);
    expect(kinds(whole).length).toBeGreaterThan(12);
  });

  it.each([1, 2, 7, 60])("are the same however it grows, %i characters at a time", (step) => {
    const grown = createBlocks();
    for (let end = step; end < TEXT.length + step; end += step) {
      const text = TEXT.slice(0, end);
      const [found, whole] = [grown(text), blocksOf(text)];
      const settled = whole.slice(0, -1).map(({ raw }) => raw);
      expect(found.slice(0, settled.length).map(({ raw }) => raw)).toEqual(settled);
    }
  });

  it("that are finished stay as they are", () => {
    const grown = createBlocks();
    const first = grown("One.\n\nTwo.\n\nThr");
    const second = grown("One.\n\nTwo.\n\nThree.\n\nFour");
    expect(second.slice(0, 3).map(({ raw }) => raw)).toEqual(first.slice(0, 3).map(({ raw }) => raw));
    expect(second[0]).toBe(first[0]);
  });

  it("begin anew with another text", () => {
    const grown = createBlocks();
    grown("One.\n\nTwo.\n\nThree.\n\n");
    expect(grown("Other.").map(({ raw }) => raw)).toEqual(["Other."]);
  });

  it("end as if what is open were closed", () => {
    const last = (text: string) => all(createBlocks()(text)).map(({ type }) => type);
    expect(last("One **two")).toContain("strong");
    expect(last("One `two")).toContain("codespan");
    expect(last("$$\n\\frac{1}{2")).toContain("math");
    expect(last("One\n-")).not.toContain("heading");
  });
});

describe("a formula", () => {
  it.each([
    ["$E = mc^2$", ["inline: E = mc^2"]],
    ["Let $x$ and $y_1$ be, with $a*b*c$.", ["inline: x", "inline: y_1", "inline: a*b*c"]],
    ["*$a_b$* and _so $c_d$ on_", ["inline: a_b", "inline: c_d"]],
    ["Two $a * b$ times $c * d$", ["inline: a * b", "inline: c * d"]],
    ["$$x$$", ["display: x"]],
    ["so $$x + y$$ it is", ["display: x + y"]],
    ["$$\na\n- b\n= c\n$$\nand on", ["display: a\n- b\n= c"]],
    ["text\n$$\na\n$$", ["display: a"]],
    ["- item\n  $$\n  a\n  $$", ["display: a"]],
    ["\\(x\\) and \\[y\\]", ["inline: x", "display: y"]],
    ["\\[\n\\sum_i x_i\n\\]", ["display: \\sum_i x_i"]],
    ["$\\$5$", ["inline: \\$5"]],
    ["| $a$ | b |\n| - | - |\n| 1 | $2$ |", ["inline: a", "inline: 2"]],
  ])("%j", (text, found) => expect(formulas(text)).toEqual(found));

  it.each([
    "$5 and $10",
    "It costs $5, not $10 or $20.",
    "between $5-$10",
    "5$ and 6$ more",
    "US$5 and US$10",
    "\\$x$ and \\$y\\$",
    "`$x$` and ``$y$``",
    "`$HOME` or $HOME and `$PATH`",
    "```\n$x$\n```",
    "    $x$",
    "$ x$ and $x $",
    "$x\n\ny$",
    "$$\n\nx\n\n$$",
    "What $$ is",
    "$$",
    "`&lt;` costs $1 and `$2`",
  ])("is not %j", (text) => expect(formulas(text)).toEqual([]));
});

describe("what a reference stands for", () => {
  it.each([
    ["&lt;b&gt; &amp;amp; &#65;&#x42; &copy;", "<b> &amp; AB ©"],
    ["AT&T; a & b &nope; &#; \\&lt;", "AT&T; a & b &nope; &#; \\<"],
  ])("in %j", (text, expected) => expect(decoded(text)).toBe(expected));
});

it("keeps the cells behind a table's last column", () => {
  const raw = "| a | b |\n|---|---|\n| one | two | three |\n| four |";
  const [table] = blocksOf(`${raw}\n\nAfter.`) as [Tokens.Table];
  expect(table.rows.map((row) => row.map(({ text }) => text))).toEqual([
    ["one", "two | three"],
    ["four", ""],
  ]);
  expect(blocksOf(`${raw}\n\nAfter.`).at(-1)?.raw).toBe("After.");
});
