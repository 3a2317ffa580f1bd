import { memo } from "react";
import type { Answers, ChatMessage } from "../llmstream";
import { Answer } from "./Answer";
import { Icon } from "./Icon";
import { Pictures } from "./Images";
import { useStickToBottom } from "./useStickToBottom";

const EXAMPLES = [
  "How do I mount llmstream in my FastAPI app?",
  "What happens when the connection is cut?",
  "How do I stream my own chain?",
];

const NONE: readonly string[] = [];

interface Props {
  /** Whether questions are shown to begin with: those here are for the demo, or any model. */
  examples: boolean;
  messages: readonly ChatMessage[];
  onExample: (text: string) => void;
  onEdit: (id: number, text: string, images: readonly string[]) => void;
  onRetry: () => void;
  onReconnect: () => void;
  /** Missing where no answer of the server's can be continued. */
  onContinue: (() => void) | undefined;
  onResume: (answers: Answers) => void;
}

export function Transcript({ examples, messages, onExample, onEdit, onRetry, ...rest }: Props) {
  const { scroller, content, away, toBottom } = useStickToBottom(messages.length);
  return (
    <div className="transcript">
      <div className="scroller" ref={scroller}>
        <section className="content" ref={content} role="log" aria-live="off" aria-label="Conversation">
          {messages.length === 0 ? <Welcome examples={examples ? EXAMPLES : NONE} onExample={onExample} /> : null}
          {messages.map((message, at) =>
            message.role === "user" ? (
              <Question
                key={message.id}
                id={message.id}
                text={message.content}
                images={message.images ?? NONE}
                onEdit={onEdit}
              />
            ) : (
              <Answer
                key={message.id}
                run={message.run}
                answers={message.answers}
                {...(at === messages.length - 1 ? { onRetry: at > 0 ? onRetry : undefined, ...rest } : {})}
              />
            ),
          )}
        </section>
      </div>
      {away ? (
        <button type="button" className="latest" onClick={toBottom}>
          <Icon name="down" />
          Jump to latest
        </button>
      ) : null}
    </div>
  );
}

function Welcome({ examples, onExample }: { examples: readonly string[]; onExample: (text: string) => void }) {
  return (
    <div className="welcome">
      <h2>Ask, and watch the answer being written</h2>
      <p>
        Reload in the middle of an answer, open it in a second tab, cut the network: it goes on where it was. The Wire
        view shows what the server sends.
      </p>
      {examples.map((example) => (
        <button key={example} type="button" onClick={() => onExample(example)}>
          {example}
        </button>
      ))}
    </div>
  );
}

interface QuestionProps {
  id: number;
  text: string;
  images: readonly string[];
  onEdit: Props["onEdit"];
}

const Question = memo(function Question({ id, text, images, onEdit }: QuestionProps) {
  return (
    <article className="question" aria-label="Question">
      {images.length > 0 ? <Pictures images={images} /> : null}
      {text.trim() === "" ? null : <p>{text}</p>}
      <button type="button" onClick={() => onEdit(id, text, images)}>
        <Icon name="edit" />
        Edit
      </button>
    </article>
  );
});
