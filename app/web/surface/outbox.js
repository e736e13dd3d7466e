// Answers on their way: kept in the browser's storage until the server says that they are on its disk, sent in order.

const PREFIX = "raum.outbox.";
const PERSONAL = "raum.kept."; // with accounts: each person's own, so that nobody sends what another said
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;
const ORPHANED_MS = 20000;

export class Outbox {
  // send(path, body) resolves with the reply, or throws Refused (4xx) or Away; changed() is called at every change of state.
  // person: {id, name} who is logged in, or null on a page without accounts. soon(work) puts sending off until what follows
  // an answer has been painted.
  constructor({ storage, client, person = null, send, isRefusal, changed, answered, refused, soon = (work) => work() }) {
    Object.assign(this, { storage, person, send, isRefusal, changed, answered, refused, soon });
    this.prefix = person ? `${PERSONAL}${person.id}.` : PREFIX;
    this.key = this.prefix + client;
    this.entries = this.#read(this.key);
    this.away = null;
    this.wait = FIRST_WAIT_MS;
    this.busy = false;
    this.timer = null;
  }

  // entry: {uuid, path, body}; it is written to storage before anything is sent.
  push(entry) {
    this.entries.push(entry);
    this.#write();
    this.changed();
    this.soon(() => this.kick());
  }

  get size() {
    return this.entries.length;
  }

  has(imageId) {
    return this.entries.some((entry) => entry.body.image_id === imageId);
  }

  // Try now, whatever the waiting time.
  kick() {
    clearTimeout(this.timer);
    this.timer = null;
    if (!this.busy) void this.#run();
  }

  // Entries that a closed or crashed tab left behind, or that were said under this name before there were accounts; resending is harmless, the server knows each uuid.
  adopt(now) {
    for (const key of this.#keys()) {
      if (key === this.key || now - this.#touched(key) < ORPHANED_MS) continue;
      const left = this.#read(key);
      const mine = left.filter((entry) => key.startsWith(this.prefix) || entry.body.annotator === this.person?.name);
      if (!mine.length) continue;
      const others = left.filter((entry) => !mine.includes(entry));
      if (others.length) this.storage.setItem(key, JSON.stringify({ at: now, entries: others }));
      else this.storage.removeItem(key);
      this.entries.push(...mine);
    }
    this.#write();
    if (this.size) this.kick();
  }

  async #run() {
    this.busy = true;
    while (this.size) {
      const entry = this.entries[0];
      try {
        const reply = await this.send(entry.path, entry.body);
        this.#settled(entry);
        this.answered(entry, reply);
      } catch (problem) {
        if (this.isRefusal(problem)) {
          this.#settled(entry);
          this.entries = this.entries.filter((other) => other.body.target !== entry.uuid);
          this.#write();
          this.refused(entry, problem);
        } else {
          this.#later(problem);
          break;
        }
      }
      this.changed();
    }
    this.busy = false;
  }

  #settled(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
    this.away = null;
    this.wait = FIRST_WAIT_MS;
    this.#write();
  }

  #later(problem) {
    this.away = problem.message;
    this.timer = setTimeout(() => this.kick(), this.wait);
    this.wait = Math.min(2 * this.wait, LONGEST_WAIT_MS);
    this.changed();
  }

  #keys() {
    return Object.keys(this.storage).filter((key) => key.startsWith(this.prefix) || key.startsWith(PREFIX));
  }

  #touched(key) {
    return this.#parsed(key).at ?? 0;
  }

  #read(key) {
    return this.#parsed(key).entries ?? [];
  }

  #parsed(key) {
    try {
      return JSON.parse(this.storage.getItem(key) ?? "{}");
    } catch {
      return {};
    }
  }

  #write() {
    try {
      if (this.size) this.storage.setItem(this.key, JSON.stringify({ at: Date.now(), entries: this.entries }));
      else this.storage.removeItem(this.key);
    } catch {
      // storage full or forbidden: the answers stay in this page's memory and are still sent
    }
  }
}
