// What one cell of the grid shows: the picture, its mark in words and a sign (never by colour alone), what the model says.

import { ROOT } from "./browse_data.js";
import { h, percent, setText } from "./dom.js";

const MARKS = { open: ["", "open"], labelled: ["✓", ""], rejected: ["✕", "rejected"], answered: ["…", "answered"], quarantined: ["!", "cannot be read"] };

export function dress(cell, item, { index, total, selected, current, still }) {
  if (!cell.firstChild) fill(cell);
  const { picture, sign, what, says, extra } = cell.parts;
  cell.setAttribute("aria-selected", String(selected));
  cell.setAttribute("aria-setsize", String(total));
  cell.setAttribute("aria-posinset", String(index + 1));
  cell.classList.toggle("bw-current", current);
  cell.dataset.state = item?.state ?? "";
  if (!item) {
    picture.removeAttribute("src");
    for (const part of [sign, what, says, extra]) setText(part, "");
    cell.setAttribute("aria-label", `image ${index + 1}, not fetched yet`);
    return;
  }
  const address = `${ROOT}/thumb/${item.image_id}`;
  if (item.state === "quarantined") picture.removeAttribute("src");
  else if (picture.getAttribute("src") !== address) {
    if (still) picture.src = address;
    else picture.removeAttribute("src");
  }
  const [mark, word] = MARKS[item.state];
  setText(sign, mark);
  setText(what, item.class ?? word);
  setText(says, told(item));
  setText(extra, [item.flagged ? "⚑" : "", item.skipped && item.state === "open" ? "↷" : "", item.holdout ? "◆" : ""].join(""));
  cell.title = item.name;
  cell.setAttribute("aria-label", spoken(item));
}

function told({ suggestion, class_id }) {
  if (!suggestion) return "";
  return `${percent(suggestion.probability)} ${suggestion.class_id === class_id ? "agrees" : suggestion.name}`;
}

function fill(cell) {
  const part = (name) => h("span", { class: `bw-${name}` });
  const picture = h("img", { alt: "", draggable: "false", decoding: "async" });
  picture.addEventListener("error", () => picture.removeAttribute("src"));
  cell.parts = { picture, sign: part("sign"), what: part("what"), says: part("says"), extra: part("extra") };
  const { sign, what, says, extra } = cell.parts;
  const tick = h("span", { class: "bw-tick", "aria-hidden": "true" });
  cell.append(h("span", { class: "bw-frame" }, picture, extra, tick), h("span", { class: "bw-line" }, sign, what), says);
}

export function spoken(item) {
  const state = { labelled: `labelled ${item.class}`, answered: "answered by others", quarantined: "cannot be read" }[item.state] ?? item.state;
  const model = item.suggestion ? `model says ${item.suggestion.name} ${percent(item.suggestion.probability)}` : "";
  return [item.name, state, model, item.flagged ? "flagged" : "", item.skipped ? "skipped" : "", item.holdout ? "held out" : ""].filter(Boolean).join(", ");
}
