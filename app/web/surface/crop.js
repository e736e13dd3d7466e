// In the right panel: the frame in which the network looks again, enlarged, and what each of its looks says.

import { h, percent } from "./dom.js";

const LONG_SIDE = 320; // pixels of the enlarged piece

// Shows what belongs to the map drawn now at the head of the contrast strip `part`; nothing is laid over the image.
export function show(part, map, ready) {
  part.querySelector(".rm-crop")?.remove();
  const framed = map?.kind === "zoom" && map.box && !ready.broken;
  if (!framed && !map?.votes) return;
  const told = (map.votes ?? []).map(({ look, name, probability }) => h("span", {}, h("b", {}, look), ` ${name} ${percent(probability)}`));
  part.prepend(h("figure", { class: "rm-group rm-crop" }, h("figcaption", {}, ...(told.length ? told : ["the frame, enlarged"])), framed ? piece(map.box, ready) : null));
}

function piece([left, top, right, bottom], { image, width, height }) {
  const [w, h_] = [Math.max(1, (right - left) * width), Math.max(1, (bottom - top) * height)];
  const scale = LONG_SIDE / Math.max(w, h_);
  const canvas = h("canvas", { width: Math.round(w * scale), height: Math.round(h_ * scale), role: "img", "aria-label": "the frame in which the network looks again, enlarged" });
  canvas.getContext("2d").drawImage(image, left * width, top * height, w, h_, 0, 0, canvas.width, canvas.height);
  return canvas;
}
