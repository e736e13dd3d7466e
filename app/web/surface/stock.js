// The next images: leased, loaded and decoded ahead, so that a key press never waits for the network.

import { h } from "./dom.js";
import { ROOT } from "./login.js";
import * as maps from "./maps.js";

const AHEAD = 5;
const PATIENCE_MS = 300; // for the first in line, before a later one that is ready goes first

export class Stock {
  // claim(count) resolves to the tab's leased items; changed() is called when an image has become ready or new items came.
  constructor({ claim, answering, changed, now }) {
    Object.assign(this, { claim, answering, changed, now });
    this.waiting = [];
    this.shown = null;
    this.answeredAt = new Map();
    this.person = 0; // counts who has sat here
    this.running = false;
    this.again = false;
    this.problem = null;
    this.asked = false;
  }

  get first() {
    return this.waiting[0] ?? null;
  }

  // The next prepared image, taken from the stock; null when none is ready.
  take() {
    let at = this.waiting.findIndex((ready) => ready.done);
    if (at > 0 && this.now() - this.waiting[0].since < PATIENCE_MS) {
      setTimeout(this.changed, PATIENCE_MS);
      at = -1;
    }
    this.shown = at < 0 ? null : this.waiting.splice(at, 1)[0];
    return this.shown;
  }

  // Back to the head of the stock (an undo shows an earlier image first).
  putBack(ready) {
    if (ready) this.waiting.unshift(ready);
  }

  show(ready) {
    this.shown = ready;
    this.answeredAt.delete(ready.item.image_id);
    this.waiting = this.waiting.filter((other) => other.item.image_id !== ready.item.image_id);
  }

  answered(imageId) {
    this.answeredAt.set(imageId, Infinity);
  }

  settled(imageId) {
    if (this.answeredAt.has(imageId)) this.answeredAt.set(imageId, this.now());
  }

  // Another person sits down: what waits, and what is on its way, was given to the one before.
  forget() {
    this.waiting = [];
    this.person += 1;
  }

  // Claim more and refresh what waits; the shown image keeps what it was shown with.
  async topUp() {
    if (this.running) {
      this.again = true;
      return;
    }
    this.running = true;
    do {
      this.again = false;
      const began = this.now();
      const { person } = this;
      try {
        const items = await this.claim(AHEAD + 1 + this.answering());
        if (person === this.person) this.#merge(items, began);
        this.problem = null;
      } catch (problem) {
        this.problem = problem;
        this.again = false;
      }
      this.asked = true;
      this.changed();
    } while (this.again);
    this.running = false;
  }

  #merge(items, began) {
    const open = items.filter(
      (item) => item.image_id !== this.shown?.item.image_id && !((this.answeredAt.get(item.image_id) ?? -1) >= began),
    );
    const known = new Map(this.waiting.map((ready) => [ready.item.image_id, ready]));
    const kept = this.waiting.filter((ready) => open.some((item) => item.image_id === ready.item.image_id));
    const order = [...kept.map((ready) => open.find((item) => item.image_id === ready.item.image_id))];
    order.push(...open.filter((item) => !known.has(item.image_id)));
    this.waiting = order.map((item) => {
      const ready = known.get(item.image_id);
      return ready && !ready.broken ? this.#refresh(ready, item) : prepare(item, this.changed); // broken: load it again
    });
  }

  // Newer suggestions come with their own map and neighbours, all at once, and only while the image still waits.
  #refresh(ready, item) {
    if (ready.wanted === item.publication && ready.item.overlays.length === item.overlays.length) {
      if (ready.item.publication === item.publication) ready.item = item;
      return ready;
    }
    ready.wanted = item.publication;
    void dressed(item).then((dress) => {
      if (this.shown !== ready && ready.wanted === item.publication) Object.assign(ready, { item, ...dress });
    });
    return ready;
  }
}

// Load and decode everything that showing this item needs.
export function prepare(item, changed) {
  const image = picture(`${ROOT}/image/${item.image_id}`);
  const ready = { item, image, since: performance.now(), done: false, broken: false, wanted: item.publication, maps: [], near: [], width: item.width, height: item.height, twin: null };
  ready.copy = () => (ready.twin ??= picture(`${ROOT}/image/${item.image_id}`));
  if (matchMedia("(min-width: 1600px)").matches && item.overlays.length) void decoded(ready.copy());
  void (async () => {
    const [loaded, dress] = await Promise.all([decoded(image), dressed(item)]);
    ready.broken = !loaded;
    if (ready.item === item || ready.item.publication === item.publication) Object.assign(ready, dress);
    if (loaded) Object.assign(ready, { width: image.naturalWidth, height: image.naturalHeight });
    ready.done = true;
    changed();
  })();
  return ready;
}

// Maps and neighbours of one item: {maps, near}.
async function dressed(item) {
  const near = item.neighbours.slice(0, 3).map((group) => ({
    name: group.name,
    ids: group.image_ids.slice(0, 3),
    images: group.image_ids.slice(0, 3).map((id) => picture(`${ROOT}/thumb/${id}`, "")),
  }));
  for (const group of near) group.elements = group.images.map((image, i) => neighbour(image, group.ids[i], group.name));
  const [made] = await Promise.all([
    Promise.all(item.overlays.map((overlay) => maps.load(overlay, item.width, item.height))),
    ...near.flatMap((group) => group.images.map(decoded)),
  ]);
  return { near, maps: made.filter((map) => map !== null) };
}

function neighbour(image, id, name) {
  return h("button", { type: "button", class: "rm-beside", "data-near": id, "data-name": name, "aria-pressed": "false", "aria-label": `compare with a labelled ${name}` }, image);
}

export function picture(address, description = "the image to label") {
  const image = new Image();
  image.decoding = "sync";
  image.draggable = false;
  image.alt = description;
  image.src = address;
  return image;
}

async function decoded(image) {
  try {
    await image.decode();
    return true;
  } catch {
    return false;
  }
}
