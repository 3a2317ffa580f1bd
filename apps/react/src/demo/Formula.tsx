import { useEffect, useRef } from "react";
import { loadTemml } from "./temml";

/** A formula in TeX, drawn by the browser's own MathML once the translator has been loaded. */
export function Formula({ tex, display }: { tex: string; display: boolean }) {
  const place = useRef<HTMLSpanElement>(null);
  useEffect(() => {
    let wanted = true;
    loadTemml().then(
      (temml) => {
        if (wanted && place.current) temml.render(tex, place.current, { displayMode: display, throwOnError: false });
      },
      () => {}, // the formula stays as it was written
    );
    return () => {
      wanted = false;
    };
  }, [tex, display]);
  return (
    <span className={display ? "formula display" : "formula"} ref={place}>
      {tex}
    </span>
  );
}
