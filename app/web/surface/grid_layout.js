// How many images a page of the grid holds and how large they are: pure numbers.

export const GAP = 6;
const COUNTS = [24, 20, 15, 12, 8, 6];
const SHAPE = 4 / 3; // of most photographs
const LARGEST = 440; // px of a picture's width
const SMALLEST = 118; // about a finger and a half: smaller pictures hide what tells classes apart

// The most images, up to 24, that stay large enough in width x height, as fit() says.
export function layout(width, height) {
  const made = COUNTS.map((count) => fit(count, width, height));
  return made.find((each) => each.picture >= SMALLEST) ?? made.at(-1);
}

// `count` cells in width x height so that pictures of 4:3 are as wide as can be -> {count, columns, cell: [w, h], picture}.
export function fit(count, width, height) {
  let found = null;
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const room = [(width - GAP * (columns - 1)) / columns, (height - GAP * (rows - 1)) / rows].map((each) => Math.max(1, Math.floor(each)));
    const picture = Math.min(room[0], room[1] * SHAPE, LARGEST);
    if (!found || picture > found.picture) found = { count, columns, picture, cell: [Math.min(room[0], 1.5 * room[1], LARGEST), Math.min(room[1], LARGEST / SHAPE)].map(Math.floor) };
  }
  return found;
}

// The place that an arrow leads to from `at` among `count` cells in rows of `columns`; the edge stops it.
export function step(at, arrow, count, columns) {
  const moved = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: count - 1 }[arrow];
  return moved >= 0 && moved < count ? moved : at;
}
