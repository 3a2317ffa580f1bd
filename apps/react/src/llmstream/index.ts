export * from "./chat.js";
export * from "./client.js";
export { LlmstreamError } from "./errors.js";
export * from "./events.js";
export { createRun, type RunStore } from "./run.js";
export * from "./state.js";
