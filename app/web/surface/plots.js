// Two plots as SVG: accuracy by number of labels with its interval, and calibration. Small, in the page's own colours.

import { svg } from "./dom.js";

const W = 640;
const H = 300;
const M = { left: 62, right: 30, top: 26, bottom: 52 };

// Linear scale from a domain to pixels.
export function scale(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

// Round ticks, at most about `count`.
export function ticks(low, high, count) {
  const rough = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

function frame({ title, x, y, xTicks, yTicks, xLabel, yLabel, xText = String, yText = String }) {
  const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title, class: "rp-plot" });
  for (const value of yTicks) {
    root.append(svg("line", { x1: M.left, x2: W - M.right, y1: y(value), y2: y(value), class: "rp-grid" }));
    root.append(text(M.left - 8, y(value) + 5, yText(value), "end"));
  }
  for (const value of xTicks) root.append(text(x(value), H - M.bottom + 22, xText(value), "middle"));
  root.append(svg("line", { x1: M.left, x2: W - M.right, y1: H - M.bottom, y2: H - M.bottom, class: "rp-axis" }));
  root.append(text((M.left + W - M.right) / 2, H - 6, xLabel, "middle"));
  root.append(text(4, 14, yLabel, "start"));
  return root;
}

function text(x, y, content, anchor) {
  const element = svg("text", { x, y, "text-anchor": anchor, class: "rp-text" });
  element.textContent = content;
  return element;
}

const hundredths = (value) => `${Math.round(100 * value)} %`;

// points: [{labels, accuracy, low, high, kind}] with accuracy measured; ahead: [{labels, accuracy, low, high}], a forecast.
export function accuracy(points, ahead = []) {
  const most = Math.max(...[...points, ...ahead].map((point) => point.labels));
  const least = Math.min(...points.map((point) => point.labels));
  const margin = Math.max(1, 0.04 * (most - least));
  const x = scale(least - margin, most + margin, M.left, W - M.right);
  const y = scale(0, 1, H - M.bottom, M.top + 10);
  const whole = ticks(least, most, 6).filter(Number.isInteger);
  const root = frame({
    title: "Accuracy on the holdout by number of labels", x, y, xTicks: whole.length ? whole : [most], yTicks: [0, 0.25, 0.5, 0.75, 1],
    xLabel: "labels", yLabel: "accuracy", yText: hundredths,
  });
  root.append(...curve(ahead, x, y, "rp-ahead"), ...curve(points, x, y, ""));
  for (const point of points) {
    if (points.length === 1) root.append(svg("line", { x1: x(point.labels), x2: x(point.labels), y1: y(point.low), y2: y(point.high), class: "rp-whisker" }));
    const dot = svg("circle", { cx: x(point.labels), cy: y(point.accuracy), r: point.kind === "round" ? 6 : 3, class: "rp-dot" });
    const told = svg("title");
    told.textContent = `${point.labels} labels: ${hundredths(point.accuracy)} (${hundredths(point.low)} to ${hundredths(point.high)}), ${point.n} holdout answers, ${point.kind}`;
    dot.append(told);
    root.append(dot);
  }
  return root;
}

function curve(points, x, y, kind) {
  if (!points.length) return [];
  const edge = (side) => points.map((point) => `${x(point.labels)},${y(point[side])}`);
  return [
    svg("polygon", { points: [...edge("high"), ...edge("low").reverse()].join(" "), class: `rp-band ${kind}` }),
    svg("polyline", { points: edge("accuracy").join(" "), class: `rp-line ${kind}` }),
  ];
}

// bins: [{confidence, accuracy, count}] with 0 < count.
export function calibration(bins) {
  const x = scale(0, 1, M.left, W - M.right);
  const y = scale(0, 1, H - M.bottom, M.top + 10);
  const quarters = [0, 0.25, 0.5, 0.75, 1];
  const root = frame({
    title: "Calibration: share right by the probability the model gave", x, y, xTicks: quarters, yTicks: quarters,
    xLabel: "probability the model gave", yLabel: "share right", xText: hundredths, yText: hundredths,
  });
  root.append(svg("line", { x1: x(0), y1: y(0), x2: x(1), y2: y(1), class: "rp-ideal" }));
  const most = Math.max(...bins.map((bin) => bin.count));
  for (const bin of bins) {
    const dot = svg("circle", { cx: x(bin.confidence), cy: y(bin.accuracy), r: 4 + 10 * Math.sqrt(bin.count / most), class: "rp-dot rp-soft" });
    const told = svg("title");
    told.textContent = `said ${hundredths(bin.confidence)}, right ${hundredths(bin.accuracy)}, ${bin.count} images`;
    dot.append(told);
    root.append(dot);
  }
  return root;
}
