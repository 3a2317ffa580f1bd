import type { Root, RootContent } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmFromMarkdown } from "mdast-util-gfm";
import { mathFromMarkdown } from "mdast-util-math";
import { gfm } from "micromark-extension-gfm";
import { math } from "micromark-extension-math";

/** A top-level block of Markdown; `start` is where it begins in the text. */
export interface Block {
  start: number;
  source: string;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})[^\n]*(\n|$)/;
// Two dollars, because one is money.
const EXTENSIONS = {
  extensions: [gfm(), math({ singleDollarTextMath: false })],
  mdastExtensions: [gfmFromMarkdown(), mathFromMarkdown()],
};

export function parse(source: string): Root {
  return fromMarkdown(source, EXTENSIONS);
}

/** Whether this block is code between fences, and if so, what is in it; `closed` once its last fence has come. */
export function fenced(source: string): { language: string; code: string; closed: boolean } | undefined {
  const open = FENCE.exec(source);
  if (open === null) return undefined;
  const end = endOfFence(source, open);
  const inside = source.slice(open[0].length, end?.from ?? source.length);
  const language = open[0].trim().replace(/^[`~]+\s*/, "");
  return { language: language.split(/\s/)[0] ?? "", code: inside.replace(/\n$/, ""), closed: end !== undefined };
}

function endOfFence(source: string, open: RegExpExecArray): { from: number; to: number } | undefined {
  const mark = open[1] as string;
  const close = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}[ \\t]*(\\n|$)`, "m");
  const rest = source.slice(open[0].length);
  const found = close.exec(rest);
  if (found === null) return undefined;
  const from = open[0].length + found.index;
  return { from, to: from + found[0].length };
}

/**
 * Cuts a growing text into blocks. Only the last block can still change, so that each call parses no more than that
 * one and what is new; and only where a line has been ended: until then the line belongs to the block before it.
 */
export class Blocks {
  #text = "";
  #settled: Block[] = [];
  #tail = 0;

  of(text: string): Block[] {
    const before = this.#text;
    this.#text = text;
    if (!text.startsWith(before)) {
      this.#settled = [];
      this.#tail = 0;
    } else if (before !== "" && !text.includes("\n", before.length)) {
      return [...this.#settled, { start: this.#tail, source: text.slice(this.#tail) }];
    }
    const starts = this.#starts(text);
    const blocks = starts.map((start, at) => ({ start, source: text.slice(start, starts[at + 1] ?? text.length) }));
    this.#settled.push(...blocks.slice(0, -1));
    this.#tail = starts.at(-1) ?? this.#tail;
    return [...this.#settled, ...blocks.slice(-1)];
  }

  /** Where the blocks of the tail begin. */
  #starts(text: string): number[] {
    const starts: number[] = [];
    let from = this.#tail;
    while (from < text.length) {
      const tail = text.slice(from);
      const open = FENCE.exec(tail);
      if (open === null) {
        const found = blockStarts(tail);
        const fence = found.findIndex((start) => FENCE.test(tail.slice(start)));
        starts.push(...(fence < 0 ? found : found.slice(0, fence)).map((start) => from + start));
        if (fence < 0) break;
        from += found[fence] as number;
      } else {
        starts.push(from);
        const end = endOfFence(tail, open);
        if (end === undefined) break;
        from += end.to;
        from += /^\s*\n|^\s*$/.exec(text.slice(from))?.[0].length ?? 0;
      }
    }
    return starts;
  }
}

function blockStarts(source: string): number[] {
  return parse(source).children.map((child: RootContent) => child.position?.start.offset ?? 0);
}
