import type { FormEvent } from "react";

interface Props {
  question: string;
  setQuestion: (question: string) => void;
  ask: () => void;
  answer: string;
  state: string;
}

/** A question to type, a button, the answer as it stands. */
export function Answer({ question, setQuestion, ask, answer, state }: Props) {
  const submit = (event: FormEvent) => {
    event.preventDefault();
    ask();
  };
  return (
    <form onSubmit={submit}>
      <input aria-label="Question" value={question} onChange={(event) => setQuestion(event.target.value)} />
      <button>Ask</button>
      <p role="status">{state}</p>
      <pre role="log">{answer}</pre>
    </form>
  );
}
