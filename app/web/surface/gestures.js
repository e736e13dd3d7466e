// Wheel, drag, pinch, double click and keys on the stage; while evidence is marked, a drag draws its box instead.

const TWICE = 3; // a double click's zoom

export function listen(stage) {
  const pointers = new Map();
  const { box } = stage;
  const viewOf = (event) => stage.views.find((view) => view.frame.contains(event.target)) ?? stage.views[0];

  box.addEventListener("wheel", (event) => {
    if (!stage.ready) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const view = viewOf(event);
    stage.zoomBy(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), view.at(event), view);
  }, { passive: false });

  box.addEventListener("dblclick", (event) => {
    if (!stage.ready || stage.marking) return;
    const view = viewOf(event);
    if (stage.zoom.k > 1) stage.fit();
    else stage.zoomBy(TWICE, view.at(event), view);
  });

  box.addEventListener("pointerdown", (event) => {
    if (!stage.ready || event.button !== 0 || pointers.size >= 2 || event.target.closest("button, a, input")) return;
    pointers.set(event.pointerId, { event, view: viewOf(event) });
    box.setPointerCapture(event.pointerId);
    if (stage.marking) stage.marking.from(pointers.size === 1 ? viewOf(event).inside(event, stage.zoom) : null); // two fingers zoom
  });

  box.addEventListener("pointermove", (event) => {
    const held = pointers.get(event.pointerId);
    if (!held) return;
    const before = held.event;
    held.event = event;
    if (pointers.size === 2) pinch([...pointers.values()], before, event);
    else if (stage.marking) stage.marking.to(held.view.inside(event, stage.zoom));
    else if (stage.zoom.k > 1) stage.panBy(difference(held.view.at(event), held.view.at(before)), held.view);
  });

  // Two fingers: their distance zooms, their middle pans.
  function pinch([first, second], before, now) {
    const other = first.event === now ? second.event : first.event;
    const { view } = first;
    const [from, to] = [middle(before, other), middle(now, other)];
    stage.panBy(difference(view.at(to), view.at(from)), view);
    const grown = distance(now, other) / Math.max(1, distance(before, other));
    stage.zoomBy(grown, view.at(to), view);
  }

  const release = (event) => {
    const held = pointers.get(event.pointerId);
    if (!held) return;
    pointers.delete(event.pointerId);
    if (stage.marking && !pointers.size) {
      if (event.type === "pointerup") stage.marking.done(held.view.size);
      else stage.marking.cancel();
    }
  };
  box.addEventListener("pointerup", release);
  box.addEventListener("pointercancel", release);
}

const difference = ([a, b], [c, d]) => [a - c, b - d];
const distance = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
const middle = (a, b) => ({ clientX: (a.clientX + b.clientX) / 2, clientY: (a.clientY + b.clientY) / 2 });

const LARGER = 1.3;
const KEYED = {
  bigger: (stage) => stage.zoomBy(LARGER),
  smaller: (stage) => stage.zoomBy(1 / LARGER),
  fit: (stage) => stage.fit(),
  pan: (stage, { step }) => stage.panBy(step),
  lower: (stage) => stage.runContour(-10),
  higher: (stage) => stage.runContour(10),
};

// What a key means for a stage; says whether it was one of those.
export function keyed(stage, meant) {
  if (!KEYED[meant.action]) return false;
  if (stage.ready) KEYED[meant.action](stage, meant);
  return true;
}
