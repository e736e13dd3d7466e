// How many images a page of the grid holds and how large they are: pure numbers.

export const GAP = 6;
const COUNTS = [24, 20, 15, 12, 8, 6];
const SMALLEST = 118; // px of a side, about a finger and a half: smaller pictures hide what tells classes apart

// The most images, up to 24, whose sides are large enough in width x height -> {count, columns, rows, side}.
export function layout(width, height) {
  const made = COUNTS.map((count) => best(count, width, height));
  return made.find((each) => each.side >= SMALLEST) ?? made.at(-1);
}

function best(count, width, height) {
  let found = null;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const side = Math.floor(Math.min((width - GAP * (columns - 1)) / columns, (height - GAP * (rows - 1)) / rows));
    if (!found || side > found.side) found = { count, columns, rows, side: Math.max(1, side) };
  }
  return found;
}

// The place that an arrow leads to from `at` among `count` cells in rows of `columns`; the edge stops it.
export function step(at, arrow, count, columns) {
  const moved = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: count - 1 }[arrow];
  return moved >= 0 && moved < count ? moved : at;
}
