import { useEffect, useState } from "react";
import type { RunState } from "../llmstream";

/** The line under an answer. */
export function statsLine({ timings, usage, model, seams, promptTruncated }: RunState): string {
  const tokens = usage?.output_tokens;
  const parts = [
    timings?.time_to_first_token_s === undefined ? "" : `${seconds(timings.time_to_first_token_s)} to first token`,
    tokens === undefined ? "" : `${tokens} token${tokens === 1 ? "" : "s"}`,
    // Of what no model counted, a function's text, it would be a speed of nothing.
    timings?.tokens_per_s === undefined || tokens === undefined ? "" : `${speed(timings.tokens_per_s)} tokens/s`,
    model ?? "",
    seams === undefined ? "" : "continued",
    promptTruncated ? "the conversation was cut to fit the model" : "",
  ];
  return parts.filter((part) => part !== "").join(" · ");
}

function speed(perSecond: number): string {
  return perSecond < 100 ? perSecond.toFixed(1) : Math.round(perSecond).toLocaleString("en");
}

function seconds(value: number): string {
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`;
}

/** The seconds since this was first shown; hidden while the time that is left is told, which would be confused with it. */
export function Elapsed({ hidden }: { hidden: boolean }) {
  const [tenths, setTenths] = useState(0);
  useEffect(() => {
    const began = performance.now();
    const timer = setInterval(() => setTenths(Math.floor((performance.now() - began) / 100)), 100);
    return () => clearInterval(timer);
  }, []);
  return tenths < 5 ? null : <span hidden={hidden}>{` ${(tenths / 10).toFixed(1)}\u00a0s`}</span>;
}
