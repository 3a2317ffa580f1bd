import type { Element, Root as Hast } from "hast";
import { type Components, toJsxRuntime } from "hast-util-to-jsx-runtime";
import { type Handlers, toHast } from "mdast-util-to-hast";
import { type ComponentProps, createContext, memo, useContext, useState } from "react";
import { Fragment, jsx, jsxs } from "react/jsx-runtime";
import remend from "remend";
import { Blocks, fenced, parse } from "./blocks";
import { CodeBlock } from "./CodeBlock";
import { Formula } from "./Formula";

/** The model's Markdown. Its HTML is shown as text, its images as links, and only its last block is drawn anew. */
export function Markdown({ text, growing }: { text: string; growing: boolean }) {
  const [blocks] = useState(() => new Blocks());
  const found = blocks.of(text);
  return (
    <div className="markdown">
      {found.map(({ start, source }, at) => (
        <Block key={start} source={source} growing={growing && at === found.length - 1} />
      ))}
    </div>
  );
}

const Block = memo(function Block({ source, growing }: { source: string; growing: boolean }) {
  const code = fenced(source);
  if (code !== undefined) return <CodeBlock {...code} closed={code.closed || !growing} />;
  const tree = toHast(parse(withDollars(growing ? remend(source) : source)), { handlers: HANDLERS }) as Hast;
  const shown = toJsxRuntime(tree, { Fragment, jsx, jsxs, components: COMPONENTS as Partial<Components> });
  return <Growing value={growing}>{shown}</Growing>;
});

const Growing = createContext(false);

/** Whether a link may go there. */
export function isSafe(url: string | undefined): url is string {
  return url !== undefined && /^(https?|mailto):/i.test(url);
}

/** `\(x\)`, `\[x\]` and `$$x$$` on a line of its own as the Markdown parser wants them, but for those in code. */
function withDollars(source: string): string {
  return source.replace(
    /(`+)[^`][\s\S]*?\1|\\\[([\s\S]+?)\\\]|\\\(([\s\S]+?)\\\)|^[ \t]*\$\$([^$\n]+)\$\$[ \t]*$/gm,
    (whole, code?: string, block?: string, inline?: string, line?: string) => {
      if (code !== undefined) return whole;
      const display = block ?? line;
      return display === undefined ? `$$${inline}$$` : `\n$$$$\n${display.trim()}\n$$$$\n`;
    },
  );
}

function element(tagName: string, text: string, properties: Element["properties"] = {}): Element {
  return { type: "element", tagName, properties, children: [{ type: "text", value: text }] };
}

const HANDLERS: Handlers = {
  html: (_, node: { value: string }) => ({ type: "text", value: node.value }),
  math: (_, node: { value: string }) => element("x-math", node.value, { display: "block" }),
  inlineMath: (_, node: { value: string }) => element("x-math", node.value),
  code: (_, node: { value: string; lang?: string }) => element("x-code", node.value, { lang: node.lang ?? "" }),
};

const COMPONENTS = {
  "x-math": InnerFormula,
  "x-code": InnerCode,
  a: ({ href, children, id }: ComponentProps<"a">) =>
    href?.startsWith("#") ? (
      <a href={href} id={id}>
        {children}
      </a>
    ) : (
      <Link href={href}>{children}</Link>
    ),
  img: ({ src, alt }: ComponentProps<"img">) => <Link href={src}>[image: {alt || src}]</Link>,
  input: ({ checked }: ComponentProps<"input">) => (
    <input type="checkbox" checked={checked} disabled aria-label={checked ? "done" : "to do"} />
  ),
  table: ({ children }: ComponentProps<"table">) => (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <section className="scrolls" tabIndex={0} aria-label="Table">
      <table>{children}</table>
    </section>
  ),
};

function InnerFormula({ children, display }: { children?: string; display?: string }) {
  return <Formula tex={children ?? ""} display={display === "block"} growing={useContext(Growing)} />;
}

/** Code in a list or a quote. */
function InnerCode({ children, lang }: { children?: string; lang: string }) {
  return <CodeBlock language={lang} code={children ?? ""} closed={!useContext(Growing)} />;
}

function Link({ href, children }: Pick<ComponentProps<"a">, "href" | "children">) {
  if (!isSafe(href)) return <span>{children}</span>;
  return (
    <a href={href} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}
