import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { loadTemml, type Temml, temmlNow } from "./temml";

interface Props {
  tex: string;
  display: boolean;
  /** Whether more of it may come: then what is no formula yet does not replace what was one. */
  growing: boolean;
}

/** A formula in TeX, drawn by the browser's own MathML once the translator has been loaded. */
export function Formula({ tex, display, growing }: Props) {
  const place = useRef<HTMLSpanElement>(null);
  const [temml, setTemml] = useState(temmlNow);

  useEffect(() => {
    if (temml === undefined) loadTemml().then(setTemml, () => {}); // else the formula stays as it was written
  }, [temml]);

  // Not as React's children, and before the browser paints: what grows must not flicker between TeX and formula.
  useLayoutEffect(() => {
    const { current } = place;
    const drawn = temml && draw(temml, tex, display);
    if (drawn) current?.replaceChildren(...drawn);
    else if (current && !(growing && current.querySelector("math"))) current.textContent = tex;
  }, [temml, tex, display, growing]);

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
