import { useEffect, useLayoutEffect, useRef, useState } from "react";

type Temml = typeof import("temml")["default"];

interface Props {
  /** The formula as it was written: shown until, and unless, it can be drawn. */
  source: string;
  tex: string;
  display: boolean;
  /** Whether more of it may come: then what is no formula yet does not replace what was one. */
  growing: boolean;
}

// The translator from TeX to MathML, once it has been needed and loaded.
let loaded: Temml | undefined;

async function load(): Promise<Temml> {
  loaded ??= (await import("temml")).default;
  return loaded;
}

/** A formula in TeX, drawn by the browser's own MathML. */
export function Formula({ source, tex, display, growing }: Props) {
  const place = useRef<HTMLSpanElement>(null);
  const [temml, setTemml] = useState(loaded);

  useEffect(() => {
    if (temml === undefined) load().then(setTemml, () => {}); // else the formula stays as it was written
  }, [temml]);

  // Not as React's children, and before the browser paints: what grows must not flicker between TeX and formula.
  useLayoutEffect(() => {
    const { current } = place;
    const drawn = temml && draw(temml, tex, display);
    if (drawn) current?.replaceChildren(...drawn);
    else if (current && !(growing && current.querySelector("math"))) current.textContent = source;
  }, [temml, source, tex, display, growing]);

  return <span className={display ? "formula display" : "formula"} ref={place} />;
}

function draw(temml: Temml, tex: string, displayMode: boolean): Iterable<Node> | undefined {
  const paper = document.createElement("span");
  try {
    temml.render(tex, paper, { displayMode, throwOnError: true });
    return [...paper.childNodes];
  } catch {
    return undefined; // a mistake, or only half of it has come
  }
}
