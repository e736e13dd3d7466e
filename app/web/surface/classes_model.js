// The list of classes as rows, and where a class goes when it is moved: pure decisions, no elements.

// Rows [{...class, depth, gone, path}] in their order; with a query only what fits, flat, with those above as `path`.
export function rows({ classes, gone }, query = "") {
  const known = new Map(classes.map((each) => [each.class_id, each]));
  const depths = new Map();
  const used = classes.map((each) => {
    const depth = each.parent_id === null || !known.has(each.parent_id) ? 0 : depths.get(each.parent_id) + 1;
    depths.set(each.class_id, depth);
    return { ...each, depth, gone: false, path: "" };
  });
  const out = gone.map((each) => ({ ...each, depth: 0, gone: true, path: each.status === "merged" ? `merged into ${known.get(each.merged_into)?.name ?? "another"}` : "retired" }));
  const wanted = query.trim().toLowerCase();
  if (!wanted) return [...used, ...out];
  const fits = (each) => each.name.toLowerCase().includes(wanted);
  return [...used.filter(fits).map((each) => ({ ...each, depth: 0, path: above(each, known).join(" › ") })), ...out.filter(fits)];
}

export function above(row, known) {
  const names = [];
  for (let at = known.get(row.parent_id); at && names.length < 50; at = known.get(at.parent_id)) names.unshift(at.name);
  return names;
}

const siblings = (classes, parent) => classes.filter((each) => each.parent_id === parent);

// Where a class goes: {parent_id, before}, or null where there is nowhere to go. how: up, down, in, out.
export function step(classes, id, how) {
  const row = classes.find((each) => each.class_id === id);
  if (!row) return null;
  const mates = siblings(classes, row.parent_id);
  const at = mates.indexOf(row);
  const idAt = (list, place) => list[place]?.class_id ?? null;
  if (how === "up") return at > 0 ? { parent_id: row.parent_id, before: idAt(mates, at - 1) } : null;
  if (how === "down") return at < mates.length - 1 ? { parent_id: row.parent_id, before: idAt(mates, at + 2) } : null;
  if (how === "in") return at > 0 ? { parent_id: idAt(mates, at - 1), before: null } : null;
  const parent = classes.find((each) => each.class_id === row.parent_id);
  if (!parent) return null;
  const uncles = siblings(classes, parent.parent_id);
  return { parent_id: parent.parent_id, before: idAt(uncles, uncles.indexOf(parent) + 1) };
}

// Where a class that is let go over another goes: `share` of that row's height above the pointer, 0 to 1.
export function drop(classes, id, overId, share) {
  const over = classes.find((each) => each.class_id === overId);
  if (!over || id === overId || under(classes, overId, id)) return null;
  if (share > 0.3 && share < 0.7) return { parent_id: overId, before: null, where: "in" };
  const mates = siblings(classes, over.parent_id).filter((each) => each.class_id !== id);
  if (share <= 0.3) return { parent_id: over.parent_id, before: overId, where: "ahead" };
  return { parent_id: over.parent_id, before: mates[mates.indexOf(over) + 1]?.class_id ?? null, where: "behind" };
}

// Whether a class stands under another.
export function under(classes, id, aboveId) {
  const known = new Map(classes.map((each) => [each.class_id, each]));
  for (let at = known.get(id), left = 50; at && left; at = known.get(at.parent_id), left -= 1) if (at.parent_id === aboveId) return true;
  return false;
}

// The rows that a window of this height shows, first and behind the last, a few more on either side; changes every few rows.
export function visible(count, top, height, rowHeight, step = 8) {
  const first = Math.max(0, Math.floor(top / rowHeight / step - 1) * step);
  return [first, Math.min(count, Math.ceil((top + height) / rowHeight / step + 1) * step)];
}
