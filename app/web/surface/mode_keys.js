// What a key means in each mode, before the single image's own keys are looked at.

const ALWAYS = { g: "grid" };
const BY_MODE = {
  single: { y: "yesno" },
  yesno: { y: "yes", Enter: "yes", n: "no", Escape: "single" },
  grid: {
    y: "yesno", Escape: "single", Enter: "confirm", " ": "out", s: "skip", z: "undo",
    ArrowLeft: "move", ArrowRight: "move", ArrowUp: "move", ArrowDown: "move", Home: "move", End: "move",
  },
};
const REPEATED = new Set(["move", "undo"]);

export const SHEET = [
  ["g", "grid: a page that the model holds for one class, and back; arrows, space (take out), s (not this class), Enter"],
  ["y / n", "yes-or-no mode: y begins it, then yes and no; Esc ends it"],
];

// An action or null. `event` needs key, repeat and the modifier keys.
export function meaning(event, mode) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const action = { ...ALWAYS, ...BY_MODE[mode] }[key] ?? null;
  if (event.repeat && !REPEATED.has(action)) return null;
  if (mode !== "grid" && event.key === "Enter" && event.target?.closest?.("button, a, summary, [role=tab]")) return null;
  return action;
}
