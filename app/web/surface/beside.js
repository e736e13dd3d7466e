// A labelled neighbour, or the scene an image was cut from, beside the image with the same zoom; digits go on answering, Esc leads back.

import * as keys from "./keys.js";
import { ROOT } from "./login.js";
import { picture } from "./stock.js";

// What the caption says of what stands beside.
export const told = ({ scene, name }) => (scene ? "beside: the whole scene; Esc back" : `beside: labelled ${name}; ${keys.capOf("compare")} next, Esc back`);

export class Beside {
  // host: {stage, part, shown() -> what prepare() made or null, caption() repaints the caption}
  constructor(host) {
    Object.assign(this, { host, wanted: null });
    host.part("compare").addEventListener("click", (event) => {
      const pressed = event.target.closest("[data-near]");
      if (pressed) void this.open(Number(pressed.dataset.near), pressed.dataset.name);
    });
  }

  get shown() {
    return this.host.stage.beside;
  }

  // The nearest of each class first, then the second nearest of each, and so on.
  list() {
    const groups = this.host.shown()?.near ?? [];
    const most = Math.max(0, ...groups.map((group) => group.ids.length));
    return Array.from({ length: most }, (_, rank) => groups.filter((group) => rank < group.ids.length).map((group) => ({ id: group.ids[rank], name: group.name }))).flat();
  }

  next() {
    const all = this.list();
    const at = all.findIndex(({ id, name }) => id === this.shown?.id && name === this.shown?.name);
    const chosen = all[(at + 1) % all.length];
    if (chosen) void this.open(chosen.id, chosen.name);
    return chosen !== undefined;
  }

  open(id, name) {
    if (this.shown?.id === id && this.shown.name === name) return this.close();
    return this.#put(picture(`${ROOT}/image/${id}`, `labelled ${name}`), { id, name });
  }

  // Says whether the image is part of a scene; once more, and it goes.
  scene() {
    const item = this.host.shown()?.item;
    if (!item?.scene) return false;
    if (this.shown?.scene) return this.close();
    void this.#put(picture(`${ROOT}/scene/${item.image_id}`, "the whole scene, the box of this image in it"), { scene: true });
    return true;
  }

  async #put(image, what) {
    const { stage } = this.host;
    const of = this.host.shown();
    this.wanted = image;
    await image.decode().catch(() => {});
    if (this.wanted !== image || this.host.shown() !== of || !image.naturalWidth) return undefined;
    stage.beside = { ...what, image, width: image.naturalWidth, height: image.naturalHeight };
    return this.#drawn();
  }

  // Says whether there was something to close.
  close() {
    this.wanted = null;
    if (!this.shown) return false;
    this.host.stage.beside = null;
    this.#drawn();
    return true;
  }

  #drawn() {
    this.host.stage.layout();
    this.host.caption();
    const { shown } = this;
    for (const element of this.host.part("compare").querySelectorAll("[data-near]")) {
      element.setAttribute("aria-pressed", String(Number(element.dataset.near) === shown?.id && element.dataset.name === shown?.name));
    }
  }
}
