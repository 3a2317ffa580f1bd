import { type FormEvent, useState } from "react";
import type { Answers, Interrupt } from "../llmstream";
import { type Action, actionsOf, answersIn, type Decision, fieldOf } from "./interrupts";
import { Json } from "./Json";

interface Props {
  interrupts: readonly Interrupt[];
  onResume: (answers: Answers) => void;
}

/** What a graph asks a person, and a form for the answers. */
export function Interrupts({ interrupts, onResume }: Props) {
  const [problem, setProblem] = useState("");

  function onSubmit(event: FormEvent<HTMLFormElement>): void {
    event.preventDefault();
    try {
      onResume(answersIn(new FormData(event.currentTarget), interrupts));
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  }

  return (
    <form className="interrupts" aria-label="What is asked" onSubmit={onSubmit}>
      {interrupts.map(({ id, value }) => {
        const actions = actionsOf(value);
        if (actions === undefined) return <Question key={id} id={id} value={value} />;
        return actions.map((action, at) => <Review key={`${id} ${at}`} id={id} at={at} action={action} />);
      })}
      {problem === "" ? null : (
        <p className="state failed" role="alert">
          {problem}
        </p>
      )}
      <button type="submit" className="main">
        Continue
      </button>
    </form>
  );
}

function Question({ id, value }: { id: string; value: unknown }) {
  return (
    <fieldset>
      <legend>The graph asks</legend>
      <Json value={value} />
      <textarea name={id} aria-label="Your answer" placeholder="Your answer" rows={2} required />
    </fieldset>
  );
}

const WORDS: Record<Decision, string> = { approve: "Approve", edit: "Edit", reject: "Reject", respond: "Respond" };

/** A call to approve, edit or reject; what belongs to a decision is shown by the style sheet where it is chosen. */
function Review({ id, at, action }: { id: string; at: number; action: Action }) {
  const { name, args, description, allowed } = action;
  const written = JSON.stringify(args, null, 2);
  return (
    <fieldset>
      <legend>
        May <code>{name}</code> be called?
      </legend>
      {description ? <p className="plain">{description}</p> : null}
      <Json value={args} />
      <div className="decisions">
        {allowed.map((decision, nth) => (
          <label key={decision}>
            <input
              type="radio"
              name={fieldOf(id, at, "decision")}
              value={decision}
              defaultChecked={nth === 0}
              required
            />
            {WORDS[decision]}
          </label>
        ))}
      </div>
      <textarea
        className="edit"
        name={fieldOf(id, at, "args")}
        aria-label={`Arguments of ${name}, as JSON`}
        defaultValue={written}
        rows={written.split("\n").length}
        spellCheck={false}
      />
      <input
        className="message"
        name={fieldOf(id, at, "message")}
        aria-label="What the model is told"
        placeholder="What the model is told"
      />
    </fieldset>
  );
}
