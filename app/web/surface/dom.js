// Makes elements. Text enters as text only, so that no class or file name is ever read as HTML.

import { ROOT } from "./root.js";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

// A button that a pointer never leaves focused: Enter after a click must not press it again.
export function button(label, action, attributes = {}) {
  const element = h("button", { type: "button", ...attributes }, label);
  element.addEventListener("pointerdown", (event) => event.preventDefault());
  element.addEventListener("click", (event) => action(event.pointerType === "touch" ? "touch" : "click", event));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const NUMBER = new Intl.NumberFormat("en-US");

export function number(value) {
  return NUMBER.format(Number(value));
}

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  return `${(whole / 3600).toFixed(1)} h`;
}

export function percent(value, digits = 0) {
  return `${(100 * value).toFixed(digits)} %`;
}

// Runs in the first task after the next frame; a tab that is not shown paints none and waits a second.
export function afterFrame(work) {
  const channel = new MessageChannel();
  const once = () => {
    clearTimeout(timer);
    channel.port1.onmessage = null;
    channel.port1.close();
    work();
  };
  const timer = setTimeout(once, 1000);
  channel.port1.onmessage = once;
  requestAnimationFrame(() => channel.port2.postMessage(null));
}

// Where an image's thumbnail is, also where the page stands under a path of another server.
export const thumb = (id) => `${ROOT}/thumb/${id}`;
