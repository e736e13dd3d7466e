// Speaks to the server: JSON in, JSON out; tells "refused" (the server's own sentence) from "away".

export class Refused extends Error {
  constructor(status, message, lines = []) {
    super(message);
    this.status = status;
    this.lines = lines;
  }
}

export class Away extends Error {}

const PATIENCE_MS = 10000;

export async function call(method, path, body, patience = PATIENCE_MS) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined || body instanceof Blob ? {} : { "Content-Type": "application/json" },
      body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(patience),
      cache: "no-store",
    });
  } catch (problem) {
    throw new Away("server away");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  const sentence = answer?.error ?? `the server answered ${response.status}`;
  if (response.status >= 500 || response.status === 408 || response.status === 429) throw new Away(sentence);
  throw new Refused(response.status, sentence, answer?.lines);
}

export const get = (path, patience) => call("GET", path, undefined, patience);
export const post = (path, body = {}, patience) => call("POST", path, body, patience);
