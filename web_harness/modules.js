// What workers begin from, kept in memory: a page that lost its network measures on.

const IMPORT = /from '\.\/([a-z]+\.js)'/g;
/** @type {Map<string, Promise<string>>} */
const addresses = new Map();

/**
 * A blob's address of a module of this page, whose imports are blobs as well.
 * @param {string} name
 * @returns {Promise<string>}
 */
export function moduleUrl(name) {
  let address = addresses.get(name);
  if (!address) {
    address = load(name);
    addresses.set(name, address);
    address.catch(() => addresses.delete(name));
  }
  return address;
}

/** @param {string} name */
async function load(name) {
  let text = await (await fetched(`/${name}`)).text();
  for (const [, imported] of [...text.matchAll(IMPORT)]) {
    text = text.replaceAll(`from './${imported}'`, `from '${await moduleUrl(imported)}'`);
  }
  return URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
}

/**
 * A file of the runtime as a blob's address.
 * @param {string} name
 * @returns {Promise<string>}
 */
export function runtimeUrl(name) {
  const key = `runtime/${name}`;
  let address = addresses.get(key);
  if (!address) {
    address = (async () => URL.createObjectURL(await (await fetched(`/${key}`)).blob()))();
    addresses.set(key, address);
    address.catch(() => addresses.delete(key));
  }
  return address;
}

/** @param {string} path */
async function fetched(path) {
  const answer = await fetch(path, { cache: 'no-store' });
  if (!answer.ok) throw new Error(`${path} cannot be had: ${answer.status}`);
  return answer;
}
