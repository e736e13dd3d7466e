// What a key means in each mode, before the single image's own keys are looked at.

import { keyOf, plain } from "./keys.js";

const BY_MODE = {
  single: () => ({ [keyOf("yesno")]: "yesno" }),
  yesno: () => ({ [keyOf("yesno")]: "yes", [keyOf("accept")]: "yes", [keyOf("no")]: "no", Escape: "single" }),
  grid: () => ({
    [keyOf("yesno")]: "yesno", Escape: "single", [keyOf("accept")]: "confirm", " ": "out", [keyOf("skip")]: "skip", [keyOf("undo")]: "undo",
    ArrowLeft: "move", ArrowRight: "move", ArrowUp: "move", ArrowDown: "move", Home: "move", End: "move",
  }),
};
const REPEATED = new Set(["move", "undo"]);

// An action or null. `event` needs key, repeat and the modifier keys.
export function meaning(event, mode) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  const key = plain(event);
  const action = { [keyOf("grid")]: "grid", ...BY_MODE[mode]() }[key] ?? null;
  if (event.repeat && !REPEATED.has(action)) return null;
  if (mode !== "grid" && event.key === "Enter" && event.target?.closest?.("button, a, summary, [role=tab]")) return null;
  return action;
}
