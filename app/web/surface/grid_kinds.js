// The two grids: images that the model holds for a class, and a class's images with the boxes proposed as their evidence.

import { number, percent } from "./dom.js";
import { stored } from "./evidence.js";
import { uuid } from "./identity.js";
import * as keys from "./keys.js";

const AWAY = "The server is away. Your answers are kept here and sent when it is back.";

export const HELD = {
  mode: "grid", page: "/api/v1/modes/grid", path: "/api/v1/modes/", confirm: "/api/v1/modes/confirm", undo: "/api/v1/modes/undo",
  kept: "raum.struck", title: "Grid", name: "Grid: images held for one class", counted: true, away: AWAY,
  heading: ({ name }) => `${name}: take out what is not`,
  group: ({ name }) => `Images held for ${name}`,
  share: (image) => percent(image.probability),
  told: (image, { name }) => `${name} ${percent(image.probability)}`,
  undone: ({ name }) => `undone: a page of ${name}`,
  none: (named) => named
    ? "No more images of this class that the model is sure of. Choose another class above, or press g to go on with single images."
    : "The model is not sure of any image that is free just now. Press g to go on with single images: every answer helps it.",
  marks: ({ publication, round, calibrated }, shown) => [
    publication !== (shown ?? publication) ? `model of an earlier refresh${round ? `, round ${round}` : ""}` : "",
    calibrated ? "" : "probabilities not calibrated yet",
  ],
  // One label an image that stayed, a skip where it is not this class; each has its share of the time.
  event: (image, told, { annotator, shownMs, stays }) => ({
    uuid: uuid(), annotator, image_id: image.image_id, lease: image.lease, kind: stays ? "label" : "skip",
    class_id: stays ? told.class_id : null, note: stays ? null : `not ${told.name}`,
    publication: told.publication, round: told.round, suggestion_class_id: told.class_id, suggestion_probability: image.probability,
    suggestion_visible: true, overlay_visible: false, shown_ms: Math.round(shownMs), client_at: Date.now() / 1000,
  }),
};

export const EVIDENCE = {
  mode: "evidence", page: "/api/v1/evidence", path: "/api/v1/evidence", confirm: "/api/v1/evidence/confirm", undo: "/api/v1/evidence/undo",
  kept: "raum.struck.evidence", title: "Evidence", name: "Evidence grid: boxes proposed for one class", counted: false, away: AWAY,
  heading: ({ name }) => `${name}: take out where the box is wrong`,
  group: ({ name }) => `Boxes proposed as the evidence for ${name}`,
  share: () => "",
  told: (image, { name }) => `box for ${name}: ${placed(image.region)}`,
  undone: ({ name }) => `undone: a page of boxes of ${name}`,
  none: (named) => `No ${named ? "more boxes of this class" : "boxes"} to confirm just now. Mark the evidence in an image (${keys.capOf("evidence")}) and label it: `
    + `the worker looks for the like in your other images of its class, mostly within a minute. ${keys.capOf("more")} goes on with single images.`,
  marks: ({ marked }) => [`found by ${number(marked)} marked ${marked === 1 ? "image" : "images"}`],
  event: (image, told) => ({ uuid: uuid(), image_id: image.image_id, class_id: told.class_id, region: stored(image.region), client_at: Date.now() / 1000 }),
};

// Where a box lies, in words for who cannot see it.
function placed({ x, y, w, h }) {
  const third = (at, words) => words[Math.min(2, Math.floor(3 * at))];
  const [row, column] = [third(y + h / 2, ["upper", "middle", "lower"]), third(x + w / 2, ["left", "centre", "right"])];
  return `${row} ${column}, ${percent(w)} by ${percent(h)} of the image`;
}
