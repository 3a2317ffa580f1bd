import type { MarkedToken, Token, Tokens } from "marked";
import { memo, type ReactNode, useMemo, useState } from "react";
import { CodeBlock } from "./CodeBlock";
import { Formula } from "./Formula";
import { blocksOf, createBlocks, decoded, type MathToken } from "./tokens";

/** The model's Markdown. Its HTML is shown as text, its images as links, and only blocks that changed are drawn anew. */
export function Markdown({ text, growing }: { text: string; growing: boolean }) {
  const [blocksOfGrowing] = useState(createBlocks);
  const whole = useMemo(() => (growing ? undefined : blocksOf(text)), [text, growing]);
  const blocks = whole ?? blocksOfGrowing(text);
  // Where a link leads may come after it.
  const links = blocks.filter(({ type }) => type === "def").length;
  return (
    <div className="markdown">
      {blocks.map((block, at) => (
        <Block key={at} block={block} growing={growing && at === blocks.length - 1} links={links} />
      ))}
    </div>
  );
}

interface BlockProps {
  block: Token;
  growing: boolean;
  links: number;
}

const Block = memo(
  function Block({ block, growing }: BlockProps) {
    return show(block, 0, growing);
  },
  (a, b) => a.block.raw === b.block.raw && a.growing === b.growing && a.links === b.links,
);

/** Whether a link may go there. */
export function isSafe(url: string | undefined): url is string {
  return url !== undefined && /^(https?|mailto):/i.test(url);
}

function showAll(tokens: readonly Token[] | undefined, growing: boolean): ReactNode[] {
  return (tokens ?? []).map((token, at) => show(token, at, growing));
}

/** A token of marked's as elements; of one that is not known here, how it was written. */
function show(given: Token, key: number, growing: boolean): ReactNode {
  const token = given as MarkedToken | MathToken;
  const inside = "tokens" in token ? showAll(token.tokens, growing) : [];
  switch (token.type) {
    case "space":
      return null;
    case "heading": {
      const Heading = `h${token.depth}` as "h1";
      return <Heading key={key}>{inside}</Heading>;
    }
    case "paragraph":
      return <p key={key}>{withoutIndent(inside)}</p>;
    case "def":
      return <p key={key}>{token.raw}</p>;
    case "hr":
      return <hr key={key} />;
    case "blockquote":
      return <blockquote key={key}>{inside}</blockquote>;
    case "code":
      return <CodeBlock key={key} language={languageOf(token)} code={token.text} closed={!growing} />;
    case "list":
      return <List key={key} list={token} growing={growing} />;
    case "table":
      return <Table key={key} table={token} growing={growing} />;
    case "math":
      return <Formula key={key} source={token.raw} tex={token.tex} display={token.display} growing={growing} />;
    case "strong":
      return <strong key={key}>{inside}</strong>;
    case "em":
      return <em key={key}>{inside}</em>;
    case "del":
      return <del key={key}>{inside}</del>;
    case "codespan":
      return <code key={key}>{token.text}</code>;
    case "br":
      return <br key={key} />;
    case "link":
      return <Link key={key} token={token} text={inside} />;
    case "image":
      return <Link key={key} token={token} text={`[image: ${decoded(token.text) || token.href}]`} />;
    case "checkbox": {
      const label = token.checked ? "done" : "to do";
      return <input key={key} type="checkbox" checked={token.checked} disabled aria-label={label} />;
    }
    case "escape":
      return token.text;
    case "text":
      return inside.length > 0 ? inside : decoded(token.text);
    default:
      return (token as Token).raw;
  }
}

/** The spaces that a paragraph may begin with do not belong to it. */
function withoutIndent([first, ...rest]: ReactNode[]): ReactNode[] {
  return [typeof first === "string" ? first.replace(/^[ \t]+/, "") : first, ...rest];
}

function languageOf({ lang = "" }: Tokens.Code): string {
  return decoded(lang).trim().split(/\s/)[0] ?? "";
}

function List({ list, growing }: { list: Tokens.List; growing: boolean }) {
  const items = list.items.map((item, at) => (
    <li key={at} className={item.task ? "task-list-item" : undefined}>
      {showAll(item.tokens, growing && at === list.items.length - 1)}
    </li>
  ));
  return list.ordered ? <ol start={Number(list.start)}>{items}</ol> : <ul>{items}</ul>;
}

function Table({ table, growing }: { table: Tokens.Table; growing: boolean }) {
  const row = (cells: Tokens.TableCell[], Cell: "th" | "td") =>
    cells.map(({ tokens, align }, at) => (
      <Cell key={at} style={align === null ? undefined : { textAlign: align }}>
        {showAll(tokens, growing)}
      </Cell>
    ));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section className="scrolls" tabIndex={0} aria-label="Table">
      <table>
        <thead>
          <tr>{row(table.header, "th")}</tr>
        </thead>
        <tbody>
          {table.rows.map((cells, at) => (
            <tr key={at}>{row(cells, "td")}</tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Link({ token, text }: { token: Tokens.Link | Tokens.Image; text: ReactNode }) {
  const href = decoded(token.href);
  if (!isSafe(href)) return <span>{text}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {text}
    </a>
  );
}
