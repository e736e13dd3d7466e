// Keys, mouse and touch of the Browse tab: from an event to what it means.

import { h } from "./dom.js";
import { meaning } from "./keys.js";

const MOVES = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down", Home: "first", End: "last", PageUp: "pageup", PageDown: "pagedown" };
const DRAG_PX = 6;
const EDGE_PX = 30;

export const FIXED = [["← ↑ ↓ →", "the next image; with shift select on the way"], ["Esc", "close this, close the image, select nothing"]];

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
  const move = MOVES[event.key];
  const action = held ? "all" : (move ?? meaning(event, "browse")?.action);
  if (!action) return;
  event.preventDefault();
  if (event.shiftKey && move) extend(browse, action);
  else browse.act(action);
}

// Shift and an arrow: from where the selection began to where the keys now stand.
function extend(browse, action) {
  const from = browse.from;
  browse.act(action);
  browse.from = from;
  void browse.range(from, browse.at);
}
