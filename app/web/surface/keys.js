// From a key press to what it means; nothing while a person types in a field.

import { SHEET as MODES } from "./mode_keys.js";

const NAMED = { Enter: "accept", x: "reject", s: "skip", f: "flag", z: "undo", o: "cycle", h: "hide", "/": "search", "?": "help", Escape: "escape" };

export const SHEET = [
  ["1 – 9", "the class on that digit"],
  ["/", "type any class; Enter picks it, or adds a new one"],
  ["Enter", "accept the model's first class (never on an image asked blind)"],
  ["x", "reject; then 1 bad image, 2 none of the classes, 3 other"],
  ["s", "skip: others are asked first"],
  ["f", "flag for discussion"],
  ["z", "undo, as far back as you like"],
  ["o", "next kind of map, then off"],
  ["h", "hide or show the map"],
  ...MODES,
  ["Esc", "close this, leave the search, end the question for a reason"],
];

// {action, digit?} or null. `event` needs key, code, repeat, the modifier keys and target.
export function meaning(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return null;
  const pressed = event.target?.closest?.("button, a, summary, [role=tab]");
  if (pressed && (event.key === "Enter" || event.key === " ")) return null;
  const named = NAMED[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (event.repeat && named !== "undo") return null;
  if (named) return { action: named };
  const digit = digitOf(event);
  return digit ? { action: "digit", digit } : null;
}

// Layouts that need Shift for digits (AZERTY) still answer by the key's place.
function digitOf(event) {
  if (/^[1-9]$/.test(event.key)) return Number(event.key);
  const place = /^(?:Digit|Numpad)([1-9])$/.exec(event.code ?? "");
  return place && !event.shiftKey && !/^[a-z]$/i.test(event.key) ? Number(place[1]) : null;
}

export function typing(target) {
  if (!target?.closest) return false;
  if (target.closest('input[type="range"]')) return false;
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}
