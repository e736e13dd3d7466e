// Keys, mouse and touch of the Browse tab: from an event to what it means.

import { h } from "./dom.js";
import { meaning } from "./keys.js";

const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", Home: "first", End: "last", PageUp: "pageup", PageDown: "pagedown", " ": "toggle", Enter: "open", Escape: "escape", a: "all", l: "label", m: "map", n: "like", t: "retract", "?": "help" };
const MOVES = new Set(["left", "right", "up", "down", "first", "last", "pageup", "pagedown"]);
const MEANT = { reject: "reject", flag: "flag", undo: "undo", search: "text", help: "help" };
const DRAG_PX = 6;
const EDGE_PX = 30;

const SHEET = [
  ["← ↑ ↓ →", "the next image; with shift select on the way"],
  ["space", "select this image, or not"],
  ["a", "select all, 1,000 at most"],
  ["⏎", "this image large, with who said what"],
  ["n", "the images most like this one"],
  ["l", "label what is selected; type a class"],
  ["x", "reject what is selected"],
  ["f", "flag it for discussion"],
  ["t", "take back what you said about it"],
  ["z", "undo the last action as a whole"],
  ["m", "the map; draw around points, or arrows and Enter"],
  ["/", "text in the file name"],
  ["Esc", "close this, close the image, select nothing"],
];

export function sheet() {
  const lines = SHEET.flatMap(([key, text]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, text)]);
  return h("div", { class: "bw-help", role: "dialog", "aria-label": "Keys", hidden: true }, h("h2", {}, "Keys"), h("dl", {}, ...lines));
}

export function listen(browse) {
  document.addEventListener("keydown", (event) => pressed(browse, event));
  const { list } = browse;
  let mark = null;
  list.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.offsetX > list.clientWidth) return;
    if (event.pointerType !== "touch") mark = { from: browse.grid.at(event), event, before: event.ctrlKey || event.metaKey ? new Set(browse.chosen) : new Set() };
  });
  list.addEventListener("pointermove", (event) => {
    if (!mark || (!mark.band && Math.hypot(event.clientX - mark.event.clientX, event.clientY - mark.event.clientY) < DRAG_PX)) return;
    list.setPointerCapture(event.pointerId);
    mark.band ??= list.appendChild(h("div", { class: "bw-band", "aria-hidden": "true" }));
    drag(browse, mark, event);
  });
  const end = (event) => {
    if (mark?.band) {
      mark.band.remove();
      browse.dragged = event.timeStamp;
    }
    mark = null;
  };
  list.addEventListener("pointerup", end);
  list.addEventListener("pointercancel", end);
  list.addEventListener("click", (event) => clicked(browse, event));
  list.addEventListener("dblclick", (event) => { if (cellOf(event) !== null) browse.act("open"); });
}

const cellOf = (event) => {
  const id = event.target.closest?.(".bw-cell")?.id;
  return id ? Number(id.slice(3)) : null;
};

function clicked(browse, event) {
  if (browse.dragged && event.timeStamp - browse.dragged < 50) return;
  const i = cellOf(event);
  if (i === null || !browse.item(i)) return;
  const several = event.ctrlKey || event.metaKey || event.pointerType === "touch" || event.target.closest(".bw-tick");
  if (event.shiftKey) browse.move(i, { extend: true });
  else if (several) browse.toggle(i);
  else browse.only(i);
}

// The cells that the rectangle touches are selected while it is drawn; at the edges the grid scrolls along.
function drag(browse, mark, event) {
  const { grid, list, windows } = browse;
  const box = list.getBoundingClientRect();
  if (event.clientY > box.bottom - EDGE_PX) list.scrollTop += EDGE_PX;
  if (event.clientY < box.top + EDGE_PX) list.scrollTop -= EDGE_PX;
  const [x, y] = grid.at(event);
  const [left, right] = [Math.min(x, mark.from[0]), Math.max(x, mark.from[0])];
  const [top, bottom] = [Math.min(y, mark.from[1]), Math.max(y, mark.from[1])];
  Object.assign(mark.band.style, { width: `${right - left}px`, height: `${bottom - top}px`, transform: `translate(${left}px, ${top - grid.top + list.scrollTop}px)` });
  browse.chosen.clear();
  browse.add([...mark.before, ...grid.within(left, top, right, bottom).map((i) => windows.item(i)?.image_id)]);
  browse.redraw();
}

function pressed(browse, event) {
  if (!browse.visible() || event.defaultPrevented || event.target?.closest?.("[role=tablist]")) return;
  const field = event.target?.closest?.("input, textarea, select, summary, [contenteditable]");
  if (field || event.altKey || event.isComposing) return;
  const held = event.ctrlKey || event.metaKey;
  if (held && event.key.toLowerCase() !== "a") return;
  const onButton = event.target?.closest?.("button, a") && (event.key === "Enter" || event.key === " ");
  if (onButton) return;
  const shared = MEANT[meaning(event)?.action];
  const own = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const action = shared ?? own;
  if (!action || (event.repeat && !MOVES.has(action) && action !== "undo")) return;
  event.preventDefault();
  if (event.shiftKey && MOVES.has(action)) extend(browse, action);
  else browse.act(action);
}

// Shift and an arrow: from where the selection began to where the keys now stand.
function extend(browse, action) {
  const from = browse.from;
  browse.act(action);
  browse.from = from;
  void browse.range(from, browse.at);
}
