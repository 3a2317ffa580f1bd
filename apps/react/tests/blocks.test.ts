import { describe, expect, it } from "vitest";
import { type Block, Blocks, parse } from "../src/demo/blocks";

const TEXT = [
  "# A heading\nA paragraph right under it.",
  "Setext\n---",
  "1. one\n2. two\n   - inner\n\n   more of two",
  "| a | b |\n| - | - |\n| 1 | 2 |",
  "text before a fence\n```python\n# no heading\n\nprint('```')\n```",
  "~~~\n```\n~~~",
  "$$\n\\frac{1}{2}\n$$",
  "> quote\nlazy",
  "- [x] done\n\n***\n\n    indented",
  "```never\nclosed\n\n# still code",
].join("\n\n");

function kinds(blocks: readonly Block[]): string[] {
  return blocks.flatMap(({ source }) => parse(source).children.map(({ type }) => type));
}

function grown(step: number): Block[] {
  const blocks = new Blocks();
  let found: Block[] = [];
  for (let end = 0; end < TEXT.length + step; end += step) found = blocks.of(TEXT.slice(0, end));
  return found;
}

describe("the blocks of a growing text", () => {
  it.each([1, 2, 7, 60])("are those of the whole text, %i characters at a time", (step) => {
    const found = grown(step);
    expect(kinds(found)).toEqual(parse(TEXT).children.map(({ type }) => type));
    expect(found.map(({ source }) => source).join("")).toBe(TEXT);
    expect(found.length).toBeGreaterThan(12);
  });

  it("that are finished stay as they are", () => {
    const blocks = new Blocks();
    const first = blocks.of("One.\n\nTwo.\n\nThr");
    const second = blocks.of("One.\n\nTwo.\n\nThree.\n\nFour");
    expect(second.slice(0, 2)).toEqual(first.slice(0, 2));
    expect(second[0]).toBe(first[0]);
  });

  it("begin anew with another text", () => {
    const blocks = new Blocks();
    blocks.of("One.\n\nTwo.");
    expect(blocks.of("Other.").map(({ source }) => source)).toEqual(["Other."]);
  });
});
