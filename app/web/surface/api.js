// Speaks to the server: JSON in, JSON out; tells "refused" (the server's own sentence) from "away", which "logged out" is too.

import { ROOT, back, credentials, ended, lost } from "./login.js";

export class Refused extends Error {
  constructor(status, message, lines = []) {
    super(message);
    this.status = status;
    this.lines = lines;
  }
}

export class Away extends Error {}

const PATIENCE_MS = 10000;
const FILE_MS = 3600000;

export async function call(method, path, body, patience = PATIENCE_MS, keepalive = false) {
  const plain = body === undefined || body instanceof Blob;
  let response;
  try {
    response = await fetch(ROOT + path, {
      method,
      keepalive,
      headers: { ...credentials(), ...(plain ? {} : { "Content-Type": "application/json" }) },
      body: plain ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(patience),
      cache: "no-store",
    });
  } catch (problem) {
    throw new Away("server away");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) {
    if (ended()) back();
    return answer;
  }
  const sentence = answer?.error ?? `the server answered ${response.status}`;
  if (answer?.login) {
    lost(sentence);
    throw new Away(sentence === "log in again" ? "logged out" : sentence);
  }
  if (response.status >= 500 || response.status === 408 || response.status === 429) throw new Away(sentence);
  throw new Refused(response.status, sentence, answer?.lines);
}

export const get = (path, patience) => call("GET", path, undefined, patience);
export const post = (path, body = {}, patience) => call("POST", path, body, patience);
export const put = (path, file) => call("PUT", path, file, FILE_MS);
// Goes out while the page is being closed; nobody waits for the answer.
export const leave = (path, body) => void call("POST", path, body, PATIENCE_MS, true).catch(() => {});
