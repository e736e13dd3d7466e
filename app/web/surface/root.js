// What a proxy puts before the page's paths: every address of this page begins with it.

export const ROOT = new URL(import.meta.url).pathname.split("/surface/")[0];
