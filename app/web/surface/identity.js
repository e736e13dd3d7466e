// Who answers: the tab (a client id that a reload keeps and a second tab does not share), the person's name, the person's wishes.

import { person } from "./login.js";

export function uuid() {
  if (globalThis.crypto?.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function recall(storage, key) {
  try {
    return storage.getItem(key);
  } catch {
    return null;
  }
}

function keep(storage, key, value) {
  try {
    storage.setItem(key, value);
  } catch {
    // a browser that forbids storage forgets at reload; labelling goes on
  }
}

const WISHES = { opacity: 55, level: 50, maps: "always", map: null, hidden: false, split: true, reasons: true };

export class Identity {
  constructor() {
    this.client = recall(sessionStorage, "raum.client") ?? uuid();
    keep(sessionStorage, "raum.client", this.client);
    this.annotator = person?.name ?? (recall(localStorage, "raum.name") || "me");
    this.wishes = { ...WISHES, ...JSON.parse(recall(localStorage, "raum.wishes") ?? "{}") };
  }

  // A duplicated tab inherits the client id; the lock tells the two apart (a reload's old page gives it up first).
  async settle() {
    if (!navigator.locks) return;
    const mine = await this.#hold(this.client);
    if (mine) return;
    this.client = uuid();
    keep(sessionStorage, "raum.client", this.client);
    await this.#hold(this.client);
  }

  #hold(client) {
    return new Promise((resolve) => {
      const options = { signal: AbortSignal.timeout(300) };
      const forEver = () => {
        resolve(true);
        return new Promise(() => {});
      };
      navigator.locks.request(`raum-${client}`, options, forEver).catch(() => resolve(false));
    });
  }

  rename(name) {
    this.annotator = name.trim().slice(0, 60) || "me";
    keep(localStorage, "raum.name", this.annotator);
  }

  wish(name, value) {
    this.wishes[name] = value;
    keep(localStorage, "raum.wishes", JSON.stringify(this.wishes));
  }
}
