// A labelled neighbour enlarged beside the image, with the same zoom; digits go on answering, Esc leads back.

import { ROOT } from "./login.js";
import { picture } from "./stock.js";

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

  async open(id, name) {
    const { stage } = this.host;
    if (this.shown?.id === id && this.shown.name === name) return this.close();
    const of = this.host.shown();
    const image = picture(`${ROOT}/image/${id}`, `labelled ${name}`);
    this.wanted = image;
    await image.decode().catch(() => {});
    if (this.wanted !== image || this.host.shown() !== of || !image.naturalWidth) return undefined;
    stage.beside = { id, name, image, width: image.naturalWidth, height: image.naturalHeight };
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
