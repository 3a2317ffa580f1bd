// A page around the Chat of the AI SDK, the one behind useChat, without React.
import { told } from "./scenarios.mjs";

class State {
  status = "ready";
  error = undefined;
  messages = [];
  onText = () => {};

  pushMessage = (message) => this.messages.push(message);
  popMessage = () => this.messages.pop();
  snapshot = (value) => structuredClone(value);
  replaceMessage = (index, message) => {
    this.messages[index] = structuredClone(message);
    if (textOf(message)) {
      this.onText();
    }
  };
}

/** The page's chat, over one version of the SDK. */
export const pageChat = (AbstractChat) => class extends AbstractChat {
  constructor(id, transport, options) {
    const state = new State();
    super({ id, state, transport, onFinish: (end) => (this.end = end), ...options });
    this.text = new Promise((resolve) => (state.onText = resolve));
  }

  shown() {
    const last = this.messages.at(-1);
    return {
      status: this.status,
      error: this.error && told(this.error),
      end: this.end && { reason: this.end.finishReason, abort: this.end.isAbort, error: this.end.isError },
      text: textOf(last),
      reasoning: joined(last, "reasoning"),
      types: last.parts.map((part) => part.type),
      metadata: last.metadata,
      id: last.id,
    };
  }
};

const joined = (message, type) => message.parts.flatMap((part) => (part.type === type ? [part.text] : [])).join("");
const textOf = (message) => joined(message, "text");
