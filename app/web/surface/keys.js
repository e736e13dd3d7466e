// From a key press to what it means; each person may put other keys on it. Nothing while a person types in a field.

const PREFIX = "raum.keys.";
const DIGIT = /^digit([1-9])$/;
const REPEATED = new Set(["undo", "earlier", "later", "bigger", "smaller", "lower", "higher"]);
const PANS = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
const ARROWS = /^Arrow/;
const NEVER = new Set([" ", "Tab", "Escape", "Shift", "Control", "Alt", "AltGraph", "Meta", "CapsLock", "Dead", "Process", "Unidentified"]);

// [action, its keys (the first is shown), what it does, the sheet's column]
export const ACTIONS = [
  ...Array.from({ length: 9 }, (_, i) => [`digit${i + 1}`, [String(i + 1)], "the class on that digit", "digits"]),
  ["search", ["/"], "type any class; Enter picks it, or adds a new one", "answer"],
  ["accept", ["Enter"], "accept the model's first class (never on an image asked blind)", "answer"],
  ["reject", ["x"], "reject; then 1 bad image, 2 none of the classes, 3 other", "answer"],
  ["skip", ["s"], "skip: others are asked first", "answer"],
  ["pass", ["p"], "pass: ask a person by name, with a note if you like", "answer"],
  ["flag", ["f"], "flag for discussion; once more to write a note", "answer"],
  ["undo", ["z"], "undo, as far back as you like", "answer"],
  ["grid", ["g"], "grid: a page that the model holds for one class, and back; arrows, space (take out), s (not this class), Enter", "answer"],
  ["yesno", ["y"], "yes-or-no mode; there it is yes, and Esc ends it", "answer"],
  ["no", ["n"], "no, in yes-or-no mode", "answer"],
  ["earlier", ["[", "ArrowLeft"], "back to your own last answers, to look or to change", "answer"],
  ["later", ["]", "ArrowRight"], "on again; Enter or Esc returns to the image that waits", "answer"],
  ["cycle", ["o"], "next kind of map, then off", "image"],
  ["hide", ["h"], "hide or show the map; held, where maps are only peeked at", "image"],
  ["lower", [","], "the map's contour further out", "image"],
  ["higher", ["."], "the map's contour further in, at last none", "image"],
  ["evidence", ["e"], "then click or drag: the evidence is here", "image"],
  ["compare", ["c"], "a labelled image beside this one, then the next; Esc back", "image"],
  ["card", ["i"], "the class card: what it looks like", "image"],
  ["bigger", ["+", "="], "zoom in; the wheel, two fingers and a double click do, too", "image"],
  ["smaller", ["-"], "zoom out", "image"],
  ["fit", ["0"], "the whole image; Shift and an arrow move it", "image"],
  ["receipts", ["r"], "what your answers changed", "image"],
  ["help", ["?"], "this sheet", "image"],
  ["list", ["l"], "Review: the next list", "image"],
];

let person = "";
let changed = {}; // {action: key}, this person's own
let table = made();

function made() {
  const found = new Map();
  for (const [action, keys] of ACTIONS) for (const key of changed[action] ? [changed[action]] : keys) found.set(key, action);
  return found;
}

// From now on the keys of this person, as kept in this browser.
export function use(name) {
  person = name;
  try {
    const kept = JSON.parse(localStorage.getItem(PREFIX + person) ?? "{}");
    changed = Object.fromEntries(ACTIONS.map(([action]) => [action, kept[action]]).filter(([, key]) => typeof key === "string" && !NEVER.has(key)));
  } catch {
    changed = {};
  }
  table = made();
}

// Puts an action on another key; returns null, or a sentence that says why not.
export function rebind(action, key) {
  if (NEVER.has(key) || /^F\d+$/.test(key)) return `${cap(key)} cannot be used here: choose another key`;
  const holder = table.get(key);
  if (holder && holder !== action) return `${cap(key)} is already ${named(holder)}: choose another key, or change that one first`;
  changed = { ...changed, [action]: key };
  return kept();
}

export function reset() {
  changed = {};
  return kept();
}

function kept() {
  table = made();
  try {
    localStorage.setItem(PREFIX + person, JSON.stringify(changed));
    return null;
  } catch {
    return "this browser keeps nothing: the keys hold until the page is closed";
  }
}

export const isChanged = () => Object.keys(changed).length > 0;
export const keyOf = (action) => changed[action] ?? ACTIONS.find(([each]) => each === action)?.[1][0] ?? "";
export const isDigit = (action) => DIGIT.test(action);
export const named = (action) => (DIGIT.test(action) ? `the class on ${DIGIT.exec(action)[1]}` : action);

// How a key is printed.
const CAPS = { Enter: "⏎", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Backspace: "⌫", " ": "space" };
export const cap = (key) => CAPS[key] ?? key;
export const capOf = (action) => cap(keyOf(action));

export const plain = (event) => (event.key.length === 1 ? event.key.toLowerCase() : event.key);

// {action, digit?} or null. `event` needs key, code, repeat, the modifier keys and target.
export function meaning(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return null;
  const pressed = event.target?.closest?.("button, a, summary, [role=tab]");
  if (pressed && (event.key === "Enter" || event.key === " ")) return null;
  if (event.key === "Escape") return { action: "escape" };
  if (ARROWS.test(event.key) && event.target?.closest?.('[role=tablist], input[type="range"]')) return null;
  if (event.shiftKey && PANS[event.key]) return { action: "pan", step: PANS[event.key] };
  const action = actionOf(event);
  if (!action || (event.repeat && !REPEATED.has(action))) return null;
  const digit = DIGIT.exec(action);
  return digit ? { action: "digit", digit: Number(digit[1]) } : { action };
}

// The person's own keys first; then digits by their place, for layouts that need Shift for them (AZERTY has "-" on 6).
function actionOf(event) {
  const key = plain(event);
  const found = table.get(key);
  if (found && changed[found]) return found;
  const place = /^(Digit|Numpad)([1-9])$/.exec(event.code ?? "");
  const there = place && !event.shiftKey && !/^[a-z]$/.test(key) ? `digit${place[2]}` : null;
  const free = there && !changed[there] ? there : null;
  return place?.[1] === "Digit" ? (free ?? found ?? null) : (found ?? free);
}

export function typing(target) {
  if (!target?.closest) return false;
  if (target.closest('input[type="range"], input[type="checkbox"], input[type="radio"]')) return false;
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}
