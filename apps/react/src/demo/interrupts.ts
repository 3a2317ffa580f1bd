import type { Answers, Interrupt } from "../llmstream";

const DECISIONS = ["approve", "edit", "reject", "respond"] as const;
export type Decision = (typeof DECISIONS)[number];

/** A call that LangChain's HumanInTheLoopMiddleware asks about. */
export interface Action {
  name: string;
  args: Record<string, unknown>;
  description?: string;
  allowed: Decision[];
}

/** What it asks about all calls of a message together, or about one. */
interface Review {
  action_requests?: Omit<Action, "allowed">[];
  review_configs?: { action_name: string; allowed_decisions: string[] }[];
  type?: string;
}

/** The calls that this value asks about; undefined where it asks for something else. */
export function actionsOf(value: unknown): Action[] | undefined {
  const review = (value ?? {}) as Review;
  if (review.type === "tool_approval") return [{ ...(value as Action), allowed: [...DECISIONS] }];
  const { action_requests: requests, review_configs: configs = [] } = review;
  if (!Array.isArray(requests) || !Array.isArray(configs)) return undefined;
  return requests.map((request) => {
    const config = configs.find(({ action_name }) => action_name === request.name);
    return { ...request, allowed: DECISIONS.filter((each) => config?.allowed_decisions.includes(each) ?? true) };
  });
}

/** The name of a field of the form, for an interrupt's nth action. */
export function fieldOf(id: string, at: number, field: "decision" | "args" | "message"): string {
  return `${id} ${at} ${field}`;
}

/** The answers in the form; throws a SyntaxError where arguments are no JSON object, or a text is missing. */
export function answersIn(form: FormData, interrupts: readonly Interrupt[]): Answers {
  const text = (name: string) => String(form.get(name) ?? "");
  const entries = interrupts.map(({ id, value }) => {
    const decisions = actionsOf(value)?.map(({ name }, at) => {
      const [decision, args, message] = (["decision", "args", "message"] as const).map((field) =>
        text(fieldOf(id, at, field)),
      );
      if (decision === "edit") return { type: "edit", edited_action: { name, args: objectIn(args ?? "", name) } };
      if (decision === "respond" && message?.trim() === "") throw new SyntaxError(`Write what ${name} shall say.`);
      return decision === "respond" || (decision === "reject" && message)
        ? { type: decision, message }
        : { type: decision };
    });
    if (decisions === undefined) return [id, text(id)];
    return [id, (value as Review).action_requests === undefined ? decisions[0] : { decisions }];
  });
  return Object.fromEntries(entries);
}

function objectIn(text: string, name: string): unknown {
  try {
    const found: unknown = JSON.parse(text);
    if (typeof found === "object" && found !== null && !Array.isArray(found)) return found;
  } catch {
    // told below
  }
  throw new SyntaxError(`The arguments of ${name} must be a JSON object, like {"to": "ann@example.com"}.`);
}
