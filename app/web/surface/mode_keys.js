// What a key means in each mode, before the single image's own keys are looked at.

import { keyOf, plain } from "./keys.js";

const MOVES = Object.fromEntries(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].map((key) => [key, "move"]));
const BY_MODE = {
  single: () => ({ [keyOf("yesno")]: "yesno" }),
  yesno: () => ({ [keyOf("yesno")]: "yes", [keyOf("accept")]: "yes", [keyOf("no")]: "no", Escape: "single" }),
  grid: () => ({
    ...MOVES, [keyOf("yesno")]: "yesno", Escape: "single", [keyOf("accept")]: "confirm", " ": "out", [keyOf("skip")]: "skip",
    [keyOf("undo")]: "undo",
  }),
  evidence: () => ({ ...MOVES, Escape: "single", [keyOf("accept")]: "confirm", " ": "out", [keyOf("undo")]: "undo" }),
};
export const PAGED = ["grid", "evidence"]; // modes that show a page of images
const REPEATED = new Set(["move", "undo"]);

// An action or null. `event` needs key, repeat and the modifier keys.
export function meaning(event, mode) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  const key = plain(event);
  const action = { [keyOf("grid")]: "grid", [keyOf("more")]: "evidence", ...BY_MODE[mode]() }[key] ?? null;
  if (event.repeat && !REPEATED.has(action)) return null;
  if (!PAGED.includes(mode) && event.key === "Enter" && event.target?.closest?.("button, a, summary, [role=tab]")) return null;
  return action;
}
