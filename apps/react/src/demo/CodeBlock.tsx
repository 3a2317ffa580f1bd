import type { Root } from "hast";
import { toJsxRuntime } from "hast-util-to-jsx-runtime";
import { useEffect, useState } from "react";
import { Fragment, jsx, jsxs } from "react/jsx-runtime";
import { CopyButton } from "./CopyButton";

interface Props {
  language: string;
  code: string;
  /** Whether it will not change any more; then it is highlighted. */
  closed: boolean;
}

export function CodeBlock({ language, code, closed }: Props) {
  const [tree, setTree] = useState<Root>();
  useEffect(() => {
    if (!closed || language === "") return;
    let wanted = true;
    import("./highlight").then(
      ({ highlight }) => wanted && setTree(highlight(language, code)),
      () => {}, // the code stays as it is
    );
    return () => {
      wanted = false;
    };
  }, [closed, language, code]);
  return (
    <figure className="code">
      <figcaption>
        <span>{language || "text"}</span>
        <CopyButton text={code} label="Copy" />
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <pre tabIndex={0}>
        <code>{tree === undefined ? code : toJsxRuntime(tree, { Fragment, jsx, jsxs })}</code>
      </pre>
    </figure>
  );
}
