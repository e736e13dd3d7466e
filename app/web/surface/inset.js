// The scene that an image was cut from, small in the panel with its box drawn; pressed, it stands large beside the image.

import { button, h } from "./dom.js";
import { hint } from "./key_hints.js";
import { ROOT } from "./login.js";

export class Inset {
  constructor(before, open) {
    this.image = h("img", { alt: "the scene, with the box of this image", draggable: "false" });
    this.image.addEventListener("error", () => (this.root.hidden = true));
    const large = button(this.image, () => open(), { class: "rm-scene-button", "aria-label": "show the whole scene" });
    this.root = h("figure", { class: "rm-scene", hidden: true }, h("figcaption", {}, "in its scene ", hint("scene")), large);
    before.before(this.root);
  }

  show(item) {
    this.root.hidden = !item?.scene;
    if (item?.scene) this.image.src = `${ROOT}/scene/${item.image_id}`;
    else this.image.removeAttribute("src");
  }
}
