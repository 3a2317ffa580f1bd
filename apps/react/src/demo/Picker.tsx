import { useState } from "react";
import type { AskWith } from "../llmstream";
import type { Server } from "./useServer";

/** What is picked to ask with, and how to pick it. */
interface Picked {
  ask: AskWith;
  picker: PickerProps;
}

interface PickerProps {
  server: Server | undefined;
  model: string;
  onModel: (model: string) => void;
  thinking: string;
  onThinking: (thinking: string) => void;
}

export function usePicked(server: Server | undefined): Picked {
  const [model, onModel] = useState("");
  const [thinking, onThinking] = useState("");
  const ask: AskWith = {};
  if (model !== "") ask.model = model;
  if (thinking !== "") ask.thinking = thinking === "on";
  return { ask, picker: { server, model, onModel, thinking, onThinking } };
}

export function Picker({ server, model, onModel, thinking, onThinking }: PickerProps) {
  return (
    <>
      {server?.takes.model ? (
        <select aria-label="Model" value={model} onChange={(event) => onModel(event.target.value)}>
          <option value="">{server.defaultModel || "Model"}</option>
          {server.models
            .filter((name) => name !== server.defaultModel)
            .map((name) => (
              <option key={name}>{name}</option>
            ))}
        </select>
      ) : null}
      {server?.takes.thinking ? (
        <select aria-label="Thinking" value={thinking} onChange={(event) => onThinking(event.target.value)}>
          <option value="">Thinking: auto</option>
          <option value="on">Thinking: on</option>
          <option value="off">Thinking: off</option>
        </select>
      ) : null}
    </>
  );
}
