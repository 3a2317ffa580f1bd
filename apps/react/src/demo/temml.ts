import type Temml from "temml";
// The package's ES module also holds macros for chemistry and physics, and weighs a quarter more than this script.
import script from "temml/dist/temml.min.js?url";

let loading: Promise<typeof Temml> | undefined;

/** The translator from TeX to MathML, loaded when it is first needed. */
export function loadTemml(): Promise<typeof Temml> {
  loading ??= new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = script;
    element.onload = () => resolve((globalThis as unknown as { temml: typeof Temml }).temml);
    element.onerror = () => reject(new Error("The formulas can't be drawn: a file of this page is missing."));
    document.head.append(element);
  });
  return loading;
}
