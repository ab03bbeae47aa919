// Requests to the API; a refusal is an Error with the problem's own text and its errors by place.

export class Problem extends Error {
  constructor(document) {
    super(document.detail ?? document.title ?? "the service did not answer as expected");
    this.status = document.status;
    this.errors = document.errors ?? [];
  }
}

let reads = new AbortController();
let held = null; // what reads wait for

export async function request(url, options = {}) {
  let response;
  while (!response) {
    if (!options.method) await held;
    const signal = options.method ? undefined : reads.signal;
    try {
      response = await fetch(url, { signal, ...options });
    } catch (error) {
      if (signal?.aborted) continue;
      if (error.name === "AbortError") throw error;
      throw new Problem({ detail: "the service does not answer: is it still running?" });
    }
  }
  if (!response.ok) throw new Problem(await response.json().catch(() => ({ status: response.status })));
  return response;
}

export const readJson = async (url, options) => (await request(url, options)).json();

export async function sendJson(method, url, body) {
  const options = { method };
  if (body !== undefined) Object.assign(options, { body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  const response = await request(url, options);
  return response.status === 204 ? null : response.json();
}

// Does what makes the page void, as deleting its study: nothing is read meanwhile, nor afterwards unless it was refused.
export async function voiding(work) {
  let release;
  held = new Promise((done) => { release = done; });
  reads.abort();
  reads = new AbortController();
  try {
    return await work();
  } catch (error) {
    held = null;
    release();
    throw error;
  }
}

export const studyUrl = (name, rest = "") => `/api/v1/studies/${encodeURIComponent(name)}${rest}`;

// Pairs, since keys may be repeated; empty values are left out.
export const query = (pairs) =>
  new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== null && value !== undefined)).toString();
