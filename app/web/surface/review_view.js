// The elements of the Review tab: lists and their counts, what was said by whom, keys, empty states.

import { button, h } from "./dom.js";
import { keyed } from "./gestures.js";
import { hint } from "./key_hints.js";
import { meaning } from "./keys.js";

export const KINDS = [
  { kind: "suspected", name: "suspected errors", none: "No suspected errors. The model agrees with the labels, as far as it can tell." },
  { kind: "disagreement", name: "disagreements", none: "No disagreements. Images that several people answered alike need no review." },
  { kind: "flag", name: "flags", none: "Nothing is flagged. While labelling, f flags an image for discussion." },
  { kind: "reject", name: "rejects", none: "No rejected images." },
];
const BUTTONS = [
  ["keep", "accept", "keep"],
  ["reject", "reject", "reject"],
  ["later", "skip", "later"],
  ["discuss", "flag", "discuss"],
  ["undo", "undo", "undo"],
  ["back", "←", "back"],
  ["on", "→", "next"],
];
const ARROWS = { ArrowLeft: "back", ArrowUp: "back", ArrowRight: "on", ArrowDown: "on" };
const MEANT = { accept: "keep", reject: "reject", skip: "later", flag: "discuss", undo: "undo", search: "search", cycle: "cycle", hide: "hide", list: "list", compare: "compare", escape: "escape", earlier: "back", later: "on" };
const REASONS = { bad_image: "bad image", none_of_the_classes: "none of the classes", other: "other" };

export function build(review) {
  const part = (tag, name, attributes = {}, ...children) => h(tag, { "data-part": name, ...attributes }, ...children);
  const stage = h("section", { class: "rm-stage", "aria-label": "Image to review" },
    h("div", { class: "rm-frames" }, h("div", { class: "rm-frame", "data-frame": "plain" }), h("div", { class: "rm-frame", "data-frame": "map" })),
    part("div", "state", { class: "rm-state", role: "status" }),
    h("div", { class: "rm-caption" }, part("span", "why", { class: "rm-why" }), part("span", "map", { class: "rm-map" })));
  const panel = h("aside", { class: "rm-panel", "aria-label": "What was said, and the classes" },
    part("div", "filters", { class: "rv-filters", role: "group", "aria-label": "Lists; l goes to the next" }, ...KINDS.map((each) => filter(review, each))),
    part("p", "doubt", { class: "rv-doubt", "aria-live": "polite" }),
    part("ul", "said-by", { class: "rv-said", "aria-label": "Said by" }),
    part("div", "note", { class: "rm-note", hidden: true }),
    part("div", "choices", { class: "rm-choices", role: "group", "aria-label": "Classes on the digits" }),
    part("div", "search", { class: "rm-search" }),
    part("section", "compare", { class: "rm-compare", "aria-label": "Nearest labelled images of the classes in doubt" }),
    h("details", { class: "rv-people" }, h("summary", {}, "people"), part("div", "people")));
  const bar = h("div", { class: "rm-status" },
    part("div", "keys", { class: "rm-keys", role: "toolbar", "aria-label": "Decisions" }, ...BUTTONS.map((each) => pressable(review, each))),
    part("div", "said", { class: "rm-said", role: "status", "aria-live": "polite" }),
    h("div", { class: "rm-count" }, part("span", "saved", { class: "rm-saved", role: "status" })));
  document.addEventListener("keydown", (event) => pressed(review, event));
  return h("div", { class: "raum rv" }, stage, panel, bar);
}

function filter(review, { kind, name }) {
  const element = button(h("span", {}, name), () => review.load(kind), { class: "rv-filter", "data-kind": kind, "aria-pressed": "false" });
  element.append(h("span", { class: "rv-number" }, ""));
  return element;
}

function pressable(review, [action, key, text]) {
  const element = button(hint(key), (mode) => act(review, action, mode), { class: "rm-key", "data-action": action });
  element.append(text);
  return element;
}

function pressed(review, event) {
  if (!review.visible() || event.target?.closest?.("[role=tablist]")) return;
  const meant = meaning(event);
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.shiftKey && !event.target?.closest?.("input, textarea, select");
  const arrow = plain ? ARROWS[event.key] : undefined;
  if (!meant && !arrow) return;
  event.preventDefault();
  if (arrow) act(review, arrow, "key");
  else if (keyed(review.stage, meant)) return;
  else if (meant.action === "digit") digit(review, meant.digit);
  else if (MEANT[meant.action]) act(review, MEANT[meant.action], "key");
}

function act(review, action, mode) {
  const next = KINDS[(KINDS.findIndex((each) => each.kind === review.kind) + 1) % KINDS.length].kind;
  const actions = {
    keep: () => review.keep(mode),
    reject: () => review.decide("reject", { reason: null }, mode),
    later: () => review.later(),
    discuss: () => review.decide("discuss", {}, mode),
    undo: () => review.undo(),
    back: () => review.move(-1),
    on: () => review.move(1),
    search: () => review.search.open(),
    list: () => review.load(next),
    compare: () => review.beside.next(),
    scene: () => review.beside.scene(),
    escape: () => review.beside.close(),
    cycle: () => { review.stage.cycle(); review.show(); },
    hide: () => { review.stage.toggle(); review.show(); },
  };
  actions[action]();
}

function digit(review, number) {
  const row = review.panel.rows[number - 1];
  if (row) review.decide("label", { class_id: row.class_id }, "key");
  else if (review.item) review.say(`no class on ${number}`);
}

// Who said what, one line each; the one that counts now is marked.
export function saidRows(item) {
  const rows = item.said.map((each) => {
    const what = each.class_id === null ? `reject${each.reason ? `: ${REASONS[each.reason] ?? each.reason}` : ""}` : each.name;
    return h("li", {}, h("span", { class: "rv-who" }, each.annotator), h("span", { class: "rv-what" }, each.review ? `${what} (reviewed)` : what));
  });
  const flags = item.flags.map((each) => h("li", {}, h("span", { class: "rv-who" }, each.annotator), h("span", { class: "rv-what" }, each.note ? `flag: ${each.note}` : "flag")));
  return [...rows, ...flags];
}

export function empty(review) {
  if (review.asked === null) return [h("p", {}, "fetching …")];
  if (review.asked !== "asked") return [h("p", {}, "The server is away. Your decisions are kept here and sent when it is back.")];
  const { none } = KINDS.find((each) => each.kind === review.kind);
  const others = KINDS.filter((each) => each.kind !== review.kind && review.counts[each.kind]);
  const actions = others.map((each) => button(`${each.name} (${review.counts[each.kind]})`, () => review.load(each.kind), { class: "rm-button" }));
  return [h("p", {}, none), ...(actions.length ? [h("div", { class: "rm-actions" }, ...actions)] : [])];
}

export function described(body, item, classes) {
  if (body.decision === "reject") return "rejected";
  if (body.decision === "discuss") return "sent to the discussion: it is among the flags";
  const name = classes.find((each) => each.class_id === body.class_id)?.name ?? "a label";
  return body.class_id === item.current?.class_id ? `kept ${name}` : `now ${name}`;
}
