// Talking to the server: requests that wait for it when it is away, labels that are never dropped.

const PATIENCE = 10_000; // ms until a server that does not answer counts as away
const PAUSES = [500, 1000, 2000, 4000]; // ms between tries
const REFUSALS = new Set([409, 422]); // read-only, not in the vocabulary: another try would not help

export class Refused extends Error {}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const pause = (tries) => sleep(PAUSES[Math.min(tries, PAUSES.length - 1)]);

/** One request. Throws Error with the server's sentence and status; `Refused` when trying again cannot help. */
export async function request(url, body, options = {}) {
  const post = body !== undefined && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(url, { signal: AbortSignal.timeout(PATIENCE), ...post, ...options });
  if (response.ok) return response.json();
  const detail = await response.json().then((answer) => answer.detail, () => null);
  const text = typeof detail === "string" ? detail : `the server answered ${response.status}`;
  const error = REFUSALS.has(response.status) ? new Refused(text) : new Error(text);
  throw Object.assign(error, { status: response.status });
}

/** A GET that waits until the server is back. `wanted()` false gives up; what the server answers is final. */
export async function patientGet(url, { wanted = () => true, onAway, onBack }) {
  for (let tries = 0; ; tries++) {
    try {
      const answer = await request(url);
      if (tries) onBack();
      return answer;
    } catch (error) {
      if (error.status || !wanted()) throw error;
      onAway();
      await pause(tries);
    }
  }
}

/**
 * Labels on their way to the server, first in first out. They stay in the tab's storage until the server has
 * acknowledged them, so neither a server that is away nor a reload loses one.
 */
export class Outbox {
  #key;
  #entries;
  #running = null;

  constructor(key, { saved, failing, refused }) {
    this.#key = key;
    this.#entries = JSON.parse(sessionStorage.getItem(key) ?? "[]");
    Object.assign(this, { saved, failing, refused });
    if (this.#entries.length) this.#start();
  }

  get size() {
    return this.#entries.length;
  }

  add(entry) {
    this.#entries.push(entry);
    this.#keep();
    this.#start();
  }

  /** Resolves when nothing is on its way. */
  async idle() {
    await this.#running;
  }

  #keep() {
    sessionStorage.setItem(this.#key, JSON.stringify(this.#entries));
  }

  #start() {
    this.#running ??= this.#flush().finally(() => (this.#running = null));
  }

  async #flush() {
    for (let tries = 0; this.#entries.length; ) {
      const entry = this.#entries[0];
      try {
        const what = entry.body.positions ? "labels" : `items/${entry.position}/label`;
        const url = `api/queues/${entry.queue}/${what}`;
        const answer = await request(url, entry.body);
        this.#entries.shift();
        this.#keep();
        tries = 0;
        this.saved(entry, answer);
      } catch (error) {
        if (error instanceof Refused) {
          this.#entries.shift();
          this.#keep();
          this.refused(entry, error.message);
        } else {
          this.failing(error);
          await pause(tries++);
        }
      }
    }
  }
}
