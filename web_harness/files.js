// Files of the session, kept in memory: a page that lost its network measures on.
import { RefusedByHost, fetched } from './send.js';

/** Files of bundles, by their hash: fetched once for each page. @type {Map<string, Promise<Blob>>} */
const files = new Map();

/**
 * A file by its hash, which is checked where the browser can (pages over plain HTTP cannot; parity decides there).
 * @param {string} sha256
 * @param {(bytes: number) => void} [tell] how much of it is there so far
 * @returns {Promise<Blob>}
 */
export function fileOf(sha256, tell = () => {}) {
  let file = files.get(sha256);
  if (!file) {
    file = fetchFile(sha256, tell);
    files.set(sha256, file);
    file.catch(() => files.delete(sha256));
  }
  return file;
}

/**
 * @param {string} sha256
 * @param {(bytes: number) => void} tell
 */
async function fetchFile(sha256, tell) {
  const answer = await fetched(`/files/${sha256}`);
  const parts = [];
  let bytes = 0;
  const reader = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (answer.body).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    bytes += part.value.length;
    tell(bytes);
  }
  const blob = new Blob(parts);
  if (crypto.subtle) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
    const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
    if (found !== sha256) throw new RefusedByHost(0, 'A file came damaged from the computer.');
  }
  return blob;
}
