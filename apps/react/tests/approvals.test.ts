import { describe, expect, it } from "vitest";
import { actionsOf, answersIn, fieldOf } from "../src/demo/interrupts";
import { APPROVAL } from "./streams";

const TWO = {
  action_requests: [...APPROVAL.action_requests, { name: "delete", args: {} }],
  review_configs: [...APPROVAL.review_configs, { action_name: "delete", allowed_decisions: ["reject", "approve"] }],
};

function form(fields: Record<string, string>): FormData {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.set(name, value);
  return data;
}

describe("what is asked", () => {
  it("are calls with the decisions that are allowed", () => {
    expect(actionsOf(TWO)).toEqual([
      { ...APPROVAL.action_requests[0], allowed: ["approve", "edit", "reject"] },
      { name: "delete", args: {}, allowed: ["approve", "reject"] },
    ]);
  });

  it.each([null, undefined, "Really?", 7, true, [], {}, { action_requests: "x" }])("is something else: %j", (value) => {
    expect(actionsOf(value)).toBeUndefined();
  });
});

describe("a call that is asked about by itself", () => {
  const value = { type: "tool_approval", tool_call_id: "c1", name: "send_mail", args: { to: "ann" }, description: "" };
  const decided = (fields: Record<string, string>) => answersIn(form(fields), [{ id: "i1", value }]);

  it("may be decided in any way, and the decision is the answer", () => {
    expect(actionsOf(value)?.[0]?.allowed).toEqual(["approve", "edit", "reject", "respond"]);
    expect(decided({ [fieldOf("i1", 0, "decision")]: "approve" })).toEqual({ i1: { type: "approve" } });
    const fields = { [fieldOf("i1", 0, "decision")]: "respond", [fieldOf("i1", 0, "message")]: "It is sent." };
    expect(decided(fields)).toEqual({ i1: { type: "respond", message: "It is sent." } });
    expect(() => decided({ ...fields, [fieldOf("i1", 0, "message")]: " " })).toThrow("Write what send_mail shall say.");
  });
});

describe("what is answered", () => {
  const interrupts = [
    { id: "i1", value: TWO },
    { id: "i2", value: "Which one?" },
  ];
  const decided = (first: Record<string, string>) =>
    answersIn(
      form({
        ...Object.fromEntries(
          Object.entries(first).map(([field, value]) => [fieldOf("i1", 0, field as "args"), value]),
        ),
        [fieldOf("i1", 1, "decision")]: "reject",
        [fieldOf("i1", 1, "message")]: "Never.",
        i2: "The red one.",
      }),
      interrupts,
    );
  const never = { type: "reject", message: "Never." };

  it.each([
    [{ decision: "approve", args: "not looked at" }, { type: "approve" }],
    [{ decision: "reject", message: "" }, { type: "reject" }],
    [
      { decision: "edit", args: '{"to":"bob@example.com"}' },
      { type: "edit", edited_action: { name: "send_mail", args: { to: "bob@example.com" } } },
    ],
  ])("of %j", (fields, decision) => {
    expect(decided(fields as Record<string, string>)).toEqual({
      i1: { decisions: [decision, never] },
      i2: "The red one.",
    });
  });

  it.each(["", "{", "[]", "null", "7"])("is refused where edited arguments are %j", (args) => {
    expect(() => decided({ decision: "edit", args })).toThrow("The arguments of send_mail must be a JSON object");
  });
});
