// Keys and buttons of the labelling surface: what is pressed becomes a call of the label object.

import { button } from "./dom.js";
import * as gestures from "./gestures.js";
import { hint } from "./key_hints.js";
import * as keys from "./keys.js";
import { KeySheet } from "./keysheet.js";
import { control, person } from "./login.js";
import { wishes } from "./wishes.js";

// [action, what its button says]
const BUTTONS = [
  ["accept", "accept"],
  ["reject", "reject"],
  ["skip", "skip"],
  ["pass", "ask"],
  ["flag", "flag"],
  ["undo", "undo"],
  ["cycle", "map"],
  ["help", "keys"],
];

export function dress(label) {
  keys.use(label.identity.annotator);
  buttons(label);
  name(label);
  sliders(label);
  const again = button("the first steps again", () => {
    label.sheet.close();
    label.guide.again();
  }, { class: "rm-button" });
  label.sheet = new KeySheet(label.part("help"), "label", { below: [wishes(label)], buttons: [again] });
  keys.listen(() => relabel(label));
  document.addEventListener("keydown", (event) => pressed(label, event));
  document.addEventListener("keyup", (event) => released(label, event));
  window.addEventListener("blur", () => label.stage.peeking && label.changeMap(() => label.stage.peek(false)));
  // A tab that was clicked keeps no focus, or Enter would press it again instead of accepting.
  document.addEventListener("click", (event) => event.detail && event.target.closest?.("[role=tab]")?.blur());
}

function pressed(label, event) {
  if (!label.root.checkVisibility() || label.root.dataset.mode !== "label") return undefined;
  if (!keys.typing(event.target) && label.evidence.key(event)) return event.preventDefault();
  const meant = keys.meaning(event);
  if (!meant) return undefined;
  if (gestures.keyed(label.stage, meant)) {
    strength(label);
    return event.preventDefault();
  }
  if (meant.action !== "digit" && !ACTS[meant.action]) return undefined;
  event.preventDefault();
  if (meant.action === "digit") digit(label, meant.digit, event);
  else act(label, meant.action, "key", event);
  return undefined;
}

// Where maps are only peeked at, they go when the key is let go.
function released(label, event) {
  if (label.stage.peeking && keys.plain(event) === keys.keyOf("hide")) label.changeMap(() => label.stage.peek(false));
}

// What each action does: (label, mode, event).
const ACTS = {
  accept: (label, mode, event) => label.accept(mode, event),
  reject: (label, mode, event) => label.reject(mode, event),
  skip: (label, mode, event) => label.answer("skip", {}, mode, event),
  pass: (label) => label.passing.press(),
  flag: (label, mode) => label.flag(mode),
  undo: (label) => label.undo(),
  search: (label) => label.search.open(),
  help: (label) => label.sheet.toggle(),
  receipts: (label) => label.receipts.list.length && label.receipts.toggle(),
  cycle: (label) => label.changeMap(() => label.stage.cycle()),
  hide: (label) => {
    const { maps } = label.identity.wishes;
    if (maps === "off") label.say(`maps are off; the sheet of keys (${keys.capOf("help")}) turns them on`);
    else label.changeMap(() => (maps === "peek" ? label.stage.peek(true) : label.stage.toggle()));
  },
  evidence: (label) => label.evidence.toggle(),
  compare: (label) => label.beside.next() || label.say("no labelled images to compare with yet"),
  scene: (label) => label.beside.scene() || label.say("this is a whole picture: there is no scene around it"),
  earlier: (label) => label.walk.earlier(),
  later: (label) => label.walk.later(),
  escape: (label) => {
    if (label.evidence.open) label.evidence.cancel();
    else if (!label.receipts.close() && !label.beside.close() && !label.walk.end()) label.sheet.close();
    label.reasons.end();
  },
};

export function act(label, action, mode, event = null) {
  ACTS[action](label, mode, event);
  label.guide.did(action);
}

function digit(label, number, event) {
  if (label.reasons.open) {
    label.reasons.digit(number);
    return;
  }
  const row = label.panel.rows[number - 1];
  if (row) label.answer("label", { class_id: row.class_id }, "key", event);
  else if (label.current) label.say(`no class on ${keys.capOf(`digit${number}`)}`);
}

function buttons(label) {
  const made = ([action, text]) => {
    const element = button(hint(action), (mode, event) => act(label, action, mode, event), { class: "rm-key", "data-action": action });
    element.append(text);
    element.hidden = action === "pass"; // until it is known whom one may ask
    return element;
  };
  label.part("keys").append(...BUTTONS.map(made));
  label.part("mark").append(made(["evidence", "evidence"]));
  label.part("walk").prepend(made(["earlier", "earlier"]), made(["later", "later"]));
  relabel(label);
}

// What is printed by more than its key follows, too.
function relabel(label) {
  for (const element of label.root.querySelectorAll(".rm-key[data-action]")) element.setAttribute("aria-keyshortcuts", keys.keyOf(element.dataset.action));
  label.modes?.showKeys();
  label.panel.relabel();
}

function name(label) {
  const field = label.part("name");
  if (person) {
    field.closest(".rm-name").replaceWith(control(label));
    return;
  }
  field.value = label.identity.annotator;
  field.addEventListener("change", () => {
    label.rename(field.value);
    keys.use(label.identity.annotator);
    field.value = label.identity.annotator;
  });
  field.addEventListener("keydown", (event) => event.key === "Enter" && field.blur());
}

// The two sliders under the image: how strong the map is, and where its contour runs.
function sliders(label) {
  const { identity, stage } = label;
  const [strong, level] = label.part("opacity").querySelectorAll("input");
  strong.addEventListener("input", () => {
    identity.wish("opacity", Number(strong.value));
    stage.draw();
  });
  level.addEventListener("input", () => stage.runContour(Number(level.value) - identity.wishes.level));
  for (const slider of [strong, level]) slider.addEventListener("change", () => slider.blur());
  strength(label);
}

function strength(label) {
  const [strong, level] = label.part("opacity").querySelectorAll("input");
  strong.value = label.identity.wishes.opacity;
  level.value = label.identity.wishes.level;
}
