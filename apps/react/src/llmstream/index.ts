export {
  type Answers,
  type AskWith,
  type ChatMessage,
  type ChatOptions,
  type ChatState,
  type ChatStore,
  createChat,
  type SendWith,
} from "./chat.js";
export {
  type Client,
  type ClientOptions,
  type Connection,
  type ContentPart,
  createClient,
  type FollowOptions,
  type Message,
  type RunRequest,
} from "./client.js";
export { LlmstreamError } from "./errors.js";
export type {
  CancelledEvent,
  ContinuedEvent,
  DataEvent,
  FailedEvent,
  FinishedEvent,
  FinishReason,
  Interrupt,
  InterruptedEvent,
  ReasoningEvent,
  ResetEvent,
  RunEvent,
  RunStatus,
  Source,
  StartedEvent,
  StatusEvent,
  TerminalEvent,
  Timings,
  TokenEvent,
  ToolCallEvent,
  ToolResultEvent,
  Usage,
  Wait,
  WithdrawnEvent,
} from "./events.js";
export { readImage } from "./images.js";
export { announcement, canContinue, whyIncomplete } from "./phase.js";
export { createRun, type RunStore } from "./run.js";
export { type Failure, isActive, type Part, type Phase, type RunState } from "./state.js";
