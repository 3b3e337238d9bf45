// What this browser keeps, so that a reload or a crash loses nothing: its number, the lines of the run under way, and what
// it was at. Where it may keep nothing (a private window), it lives as long as the page.

const DATABASE = 'pocketgan';
const LINES = 'lines';

/** @returns {Storage | Map<string, string>} */
function places() {
  try {
    localStorage.setItem('pocketgan.probe', '1');
    localStorage.removeItem('pocketgan.probe');
    return localStorage;
  } catch {
    return new Map();
  }
}

const storage = places();

/** @param {string} key */
function get(key) {
  return storage instanceof Map ? storage.get(key) ?? null : storage.getItem(key);
}

/**
 * @param {string} key
 * @param {string} value
 */
function set(key, value) {
  if (storage instanceof Map) storage.set(key, value);
  else storage.setItem(key, value);
}

/** The number of this browser, the same at every visit. */
export function ownNumber() {
  const known = get('pocketgan.id');
  if (known && /^[0-9a-f]{16}$/.test(known)) return known;
  const drawn = randomHex(8);
  set('pocketgan.id', drawn);
  return drawn;
}

/** @param {number} bytes */
export function randomHex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** What is measured now. `hidden`: the page is, so that its end is no crash. */
export const marker = {
  /** @param {string} detail */
  begin(detail) {
    set('pocketgan.at', JSON.stringify({ detail, hidden: document.visibilityState !== 'visible' }));
  },
  /** @param {boolean} hidden */
  hide(hidden) {
    const at = get('pocketgan.at');
    if (at) set('pocketgan.at', JSON.stringify({ ...JSON.parse(at), hidden }));
  },
  end() {
    set('pocketgan.at', '');
  },
  /** What the page before this one was at when it died, null where it did not. @returns {string | null} */
  crashed() {
    const at = get('pocketgan.at');
    if (!at) return null;
    const { detail, hidden } = JSON.parse(at);
    return hidden ? null : String(detail);
  },
  /** Whether the page before this one ended while it measured, one way or another. */
  wasCut: () => Boolean(get('pocketgan.at')),
};

/** The lines of one run. */
export class Kept {
  /** @type {string[]} */
  lines = [];
  run = '';
  begunAgain = 0;

  /** @param {IDBDatabase | null} database */
  constructor(database) {
    this.database = database;
  }

  /** What an earlier page kept. */
  static async open() {
    const kept = new Kept(await database());
    kept.run = get('pocketgan.run') ?? '';
    if (kept.database) kept.lines = await done(kept.#store('readonly').getAll());
    return kept;
  }

  /**
   * A run begins, or goes on where it is the same.
   * @param {string} run
   */
  async begin(run) {
    if (run === this.run) return;
    this.lines = [];
    if (this.database) await done(this.#store('readwrite').clear());
    this.run = run;
    set('pocketgan.run', run);
  }

  /**
   * Keep a line; it is safe when this returns.
   * @param {string} line
   */
  async add(line) {
    this.lines.push(line);
    if (this.database) await done(this.#store('readwrite').add(line));
  }

  /** @param {IDBTransactionMode} mode */
  #store(mode) {
    if (!this.database) throw new Error('nothing is kept here');
    return this.database.transaction(LINES, mode).objectStore(LINES);
  }
}

/** @returns {Promise<IDBDatabase | null>} */
async function database() {
  try {
    const asked = indexedDB.open(DATABASE, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(LINES, { autoIncrement: true });
    return await done(asked);
  } catch {
    return null;
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
