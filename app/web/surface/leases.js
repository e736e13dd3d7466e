// The tab's right to its images: claim, keep, give back.

import { leave, post } from "./api.js";

const MOST = 100;

export async function claim({ annotator, client }, count) {
  const who = new URLSearchParams({ count: Math.min(count, MOST), annotator, client });
  return (await post(`/api/v1/next?${who}`)).images;
}

// A renewal that fails is made up by the next one, or by the next claim.
export function renew({ annotator, client }) {
  post("/api/v1/renew", { annotator, client }).catch(() => {});
}

export function giveBack({ annotator, client }) {
  return post("/api/v1/release", { annotator, client }).catch(() => {});
}

// Works while the page is being closed; the server waits a moment, in case it was a reload.
export function release({ annotator, client }) {
  leave("/api/v1/release", { annotator, client });
}
