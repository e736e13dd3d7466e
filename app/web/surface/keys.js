// From a key press to what it means on a tab; each person may put other keys on it. Nothing while a person types in a field.

import { DEFAULTS, MOVING, TABS, TAB_NAMES } from "./key_table.js";

const PREFIX = "raum.keys.";
const DIGIT = /^digit([1-9])$/;
const REPEATED = new Set(["undo", "earlier", "later", "bigger", "smaller", "lower", "higher"]);
const PANS = { ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
const ARROWS = /^Arrow/;
const NEVER = new Set([" ", "Tab", "Escape", "Shift", "Control", "Alt", "AltGraph", "Meta", "CapsLock", "Dead", "Process", "Unidentified"]);

let person = "";
let changed = {}; // {action: key}, this person's own
let tables = made();
const listeners = new Set();

// For each tab its keys; what a person has chosen goes ahead of what was there before.
function made() {
  return Object.fromEntries(Object.entries(TABS).map(([tab, rows]) => {
    const actions = rows.map(([action]) => action);
    const given = actions.filter((action) => !changed[action]).flatMap((action) => DEFAULTS[action].map((key) => [key, action]));
    return [tab, new Map([...given, ...actions.filter((action) => changed[action]).map((action) => [changed[action], action])])];
  }));
}

// heard() is called whenever keys changed, so that every printed key follows.
export const listen = (heard) => listeners.add(heard);

function tell() {
  tables = made();
  for (const heard of listeners) heard();
}

// From now on the keys of this person, as kept in this browser.
export function use(name) {
  person = name;
  try {
    const kept = JSON.parse(localStorage.getItem(PREFIX + person) ?? "{}");
    changed = Object.fromEntries(Object.keys(DEFAULTS).map((action) => [action, kept[action]]).filter(([, key]) => typeof key === "string" && !NEVER.has(key)));
  } catch {
    changed = {};
  }
  tell();
}

// Puts an action on another key, on every tab that has it; returns null, or a sentence that says why not.
export function rebind(action, key) {
  if (NEVER.has(key) || /^F\d+$/.test(key)) return `${cap(key)} cannot be used here: choose another key`;
  for (const tab of Object.keys(TABS).filter((each) => TABS[each].some(([name]) => name === action))) {
    const holder = tables[tab].get(key);
    if (holder && holder !== action) return `${cap(key)} is already ${named(holder)}${TAB_NAMES[tab]}: choose another key, or change that one first`;
    if (MOVING[tab].has(key)) return `${cap(key)} moves${TAB_NAMES[tab]}: choose another key`;
  }
  changed = { ...changed, [action]: key };
  return kept();
}

export function reset() {
  changed = {};
  return kept();
}

function kept() {
  tell();
  try {
    localStorage.setItem(PREFIX + person, JSON.stringify(changed));
    return null;
  } catch {
    return "this browser keeps nothing: the keys hold until the page is closed";
  }
}

export const isChanged = () => Object.keys(changed).length > 0;
export const keyOf = (action) => changed[action] ?? DEFAULTS[action]?.[0] ?? "";
export const isDigit = (action) => DIGIT.test(action);
export const named = (action) => (DIGIT.test(action) ? `the class on ${DIGIT.exec(action)[1]}` : action);

// How a key is printed.
const CAPS = { Enter: "⏎", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", Backspace: "⌫", Delete: "Del", " ": "space" };
export const cap = (key) => CAPS[key] ?? key;
export const capOf = (action) => cap(keyOf(action));

export const plain = (event) => (event.key.length === 1 ? event.key.toLowerCase() : event.key);

// {action, digit?} or null. `event` needs key, code, repeat, the modifier keys and target.
export function meaning(event, tab = "label") {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || typing(event.target)) return null;
  const pressed = event.target?.closest?.("button, a, summary, [role=tab]");
  if (pressed && (event.key === "Enter" || event.key === " ")) return null;
  if (event.key === "Escape") return { action: "escape" };
  if (ARROWS.test(event.key) && event.target?.closest?.('[role=tablist], input[type="range"]')) return null;
  if (event.shiftKey && PANS[event.key]) return { action: "pan", step: PANS[event.key] };
  const action = actionOf(event, tables[tab]);
  if (!action || (event.repeat && !REPEATED.has(action))) return null;
  const digit = DIGIT.exec(action);
  return digit ? { action: "digit", digit: Number(digit[1]) } : { action };
}

// The person's own keys first; then digits by their place, for layouts that need Shift for them (AZERTY has "-" on 6).
function actionOf(event, table) {
  const key = plain(event);
  const found = table.get(key);
  if (found && changed[found]) return found;
  const place = /^(Digit|Numpad)([1-9])$/.exec(event.code ?? "");
  const there = place && !event.shiftKey && !/^[a-z]$/.test(key) ? `digit${place[2]}` : null;
  const free = there && table.get(place[2]) === there ? there : null;
  return place?.[1] === "Digit" ? (free ?? found ?? null) : (found ?? free);
}

export function typing(target) {
  if (!target?.closest) return false;
  if (target.closest('input[type="range"], input[type="checkbox"], input[type="radio"]')) return false;
  return target.closest("input, textarea, select, [contenteditable]") !== null;
}
