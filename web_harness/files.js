// Files of the session, kept in memory: a page that lost its network measures on.

/** Files of bundles, by their hash: fetched once for each page. @type {Map<string, Promise<Blob>>} */
const files = new Map();

/**
 * A file by its hash, which is checked where the browser can (pages over plain HTTP cannot; parity decides there).
 * @param {string} sha256
 * @returns {Promise<Blob>}
 */
export function fileOf(sha256) {
  let file = files.get(sha256);
  if (!file) {
    file = fetchFile(sha256);
    files.set(sha256, file);
    file.catch(() => files.delete(sha256));
  }
  return file;
}

/** @param {string} sha256 */
async function fetchFile(sha256) {
  const answer = await fetch(`/files/${sha256}`, { cache: 'no-store' });
  if (!answer.ok) throw new Error(`a file of the session cannot be had: ${answer.status}`);
  const blob = await answer.blob();
  if (crypto.subtle) {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
    const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
    if (found !== sha256) throw new Error('a file of the session came damaged');
  }
  return blob;
}
