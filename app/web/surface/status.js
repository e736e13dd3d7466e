// Asks the server how things stand, every few seconds, less often when nobody looks.

import { duration, percent } from "./dom.js";
import { get } from "./api.js";

const SEEN_MS = 2500;
const UNSEEN_MS = 15000;
const YOUNG_MS = 20000;

export class Status {
  constructor(identity) {
    this.identity = identity;
    this.value = null;
    this.away = false;
    this.listeners = [];
    this.timer = null;
    document.addEventListener("visibilitychange", () => document.hidden || this.ask());
  }

  listen(listener) {
    this.listeners.push(listener);
  }

  async ask() {
    clearTimeout(this.timer);
    try {
      const { annotator } = this.identity;
      this.value = complete(await get(`/api/v1/status?${new URLSearchParams({ annotator, edition: this.value?.edition ?? "" })}`), this.value);
      this.away = false;
    } catch {
      this.away = true;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), document.hidden ? UNSEEN_MS : SEEN_MS);
    for (const listener of this.listeners) listener(this.value, this.away);
  }
}

// The server sends the list of classes only when it is another one than it sent before: then its counts are brought up to date.
export function complete(value, before) {
  if (value.classes) return value;
  const counts = new Map(value.class_counts);
  return { ...value, classes: before.classes.map((each) => ({ ...each, count: counts.get(each.class_id) ?? 0 })) };
}

function resting(work) {
  return work.phase === "idle" || work.phase === "ready";
}

// "round 7 · training 42 % · 18 s left"; `young` while the server may only just have been started
export function line(status, away, young = performance.now() < YOUNG_MS) {
  if (away) return "server away";
  if (!status) return "starting …";
  const parts = [];
  if (status.round) parts.push(`round ${status.round}`);
  const work = status.ingest && !status.ingest.error ? status.ingest : status;
  if (!status.worker_alive && !status.ingest) parts.push(young ? "the worker is starting" : "the worker is not running");
  else if (status.paused && resting(work)) parts.push("training paused");
  else if (work.phase && !resting(work)) {
    parts.push(work.fraction ? `${work.phase} ${percent(work.fraction)}` : work.phase);
    if (work.eta_s && work === status) parts.push(`${duration(work.eta_s)} left`);
  } else if (!status.round) parts.push(status.publication ? "no round yet" : "no model yet");
  if (status.switch) parts.push(status.switch.phase === "failed" ? "the new backbone failed" : `new backbone ${percent(status.switch.fraction ?? 0)}`);
  return parts.join(" · ");
}
