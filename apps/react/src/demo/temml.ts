import type temml from "temml";
// The package's ES module also holds macros for chemistry and physics, and weighs a quarter more than this script.
import script from "temml/dist/temml.min.js?url";

export type Temml = typeof temml;

let loading: Promise<Temml> | undefined;

/** The translator from TeX to MathML, if it has been loaded. */
export function temmlNow(): Temml | undefined {
  return (globalThis as { temml?: Temml }).temml;
}

/** The translator, loaded when it is first needed. */
export function loadTemml(): Promise<Temml> {
  loading ??= new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = script;
    element.onload = () => resolve(temmlNow() as Temml);
    element.onerror = () => reject(new Error("The formulas can't be drawn: a file of this page is missing."));
    document.head.append(element);
  });
  return loading;
}
