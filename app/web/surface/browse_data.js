// The order that is browsed, a page at a time: fetched when it comes into sight and stays there, forgotten when far.

import { Refused, get } from "./api.js";

export const ROOT = new URL(import.meta.url).pathname.split("/surface/")[0]; // what a proxy puts before the page's paths
const PAGE = 100;
const KEPT = 60; // pages
const PATIENCE_MS = 15000;

export class Windows {
  // changed() after something came or failed; the sentence of what is being made or went wrong stands in `sentence`.
  constructor(changed) {
    this.changed = changed;
    this.forget({}, "");
  }

  forget(filter, who) {
    Object.assign(this, { filter, who, view: null, total: null, sentence: "", problem: "", told: null, stale: false, before: null });
    this.pages = new Map();
    this.pending = new Set();
  }

  // A new question; resolves once its first page (around `at`) is there. The same one again: until then the old answer stays.
  ask(filter, who, at = 0, again = false) {
    const { pages, total, told } = this;
    this.forget(filter, who);
    if (again) Object.assign(this, { before: pages, total, told });
    return this.#fetch(Math.floor(at / PAGE));
  }

  query(more) {
    const asked = { ...this.filter, annotator: this.who, ...more };
    return new URLSearchParams(Object.entries(asked).filter(([, value]) => value !== null && value !== undefined && value !== ""));
  }

  item(i) {
    const pages = this.before ?? this.pages;
    return pages.get(Math.floor(i / PAGE))?.[i % PAGE] ?? null;
  }

  // What is in sight: missing pages are fetched.
  need(from, to) {
    if (!this.total || this.before) return;
    const first = Math.floor(Math.max(0, from) / PAGE);
    const last = Math.floor(Math.min(this.total - 1, to) / PAGE);
    for (let page = first; page <= last; page += 1) if (!this.pages.has(page) && !this.pending.has(page)) void this.#fetch(page);
  }

  // Ids of a stretch of the order, whether it was fetched or not.
  async stretch(from, to) {
    const answer = await get(`/api/v1/browse/ids?${this.query({ start: from, count: to - from + 1, view: this.view })}`, PATIENCE_MS);
    return answer.image_ids ?? [];
  }

  async #fetch(page) {
    const { pages, pending } = this;
    pending.add(page);
    try {
      const answer = await this.#answer(page, pages);
      if (pages !== this.pages) return;
      this.pages.set(page, answer.images);
      for (const old of this.pages.keys()) if (this.pages.size > KEPT && old !== page) this.pages.delete(old);
      Object.assign(this, { view: answer.view, total: answer.total, told: answer, stale: answer.stale, sentence: "", problem: "", before: null });
    } catch (problem) {
      if (pages !== this.pages) return;
      this.problem = problem instanceof Refused ? problem.message : "the server is away; it is asked again when you scroll";
    } finally {
      pending.delete(page);
    }
    this.changed();
  }

  // While the server makes something first, it is asked again: each time it waits a while itself.
  async #answer(page, pages) {
    for (;;) {
      const answer = await get(`/api/v1/browse?${this.query({ start: page * PAGE, count: PAGE, view: this.view })}`, PATIENCE_MS);
      if (answer.ready || pages !== this.pages) return answer;
      this.sentence = `${answer.sentence} … ${Math.round(100 * answer.share)} %`;
      this.changed();
    }
  }
}
