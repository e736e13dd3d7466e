// Zoom and pan as numbers: a picture of size 1 x 1 is drawn k times as large with its corner at (x, y), both in its own sizes.

export const FIT = Object.freeze({ k: 1, x: 0, y: 0 });
const MOST = 16;

// `seen` is what its frame shows, {left, top, right, bottom} in the picture's own sizes when it fits (0..1 is the picture).
export function zoomed(zoom, factor, [u, v], seen) {
  const k = Math.min(MOST, Math.max(1, zoom.k * factor));
  const [a, b] = inside(zoom, [u, v]);
  return held({ k, x: u - a * k, y: v - b * k }, seen);
}

export function panned(zoom, [dx, dy], seen) {
  return held({ ...zoom, x: zoom.x + dx, y: zoom.y + dy }, seen);
}

// Where a point of the frame lies in the picture.
export function inside(zoom, [u, v]) {
  return [(u - zoom.x) / zoom.k, (v - zoom.y) / zoom.k];
}

// The picture covers its frame where it is larger, and stands in the middle where it is not.
function held({ k, x, y }, seen) {
  return k <= 1 ? FIT : { k, x: along(x, k, seen.left, seen.right), y: along(y, k, seen.top, seen.bottom) };
}

function along(at, k, from, to) {
  return k <= to - from ? 0.5 - k / 2 : Math.min(from, Math.max(to - k, at));
}
