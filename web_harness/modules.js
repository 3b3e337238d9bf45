// What workers begin from, kept in memory: a page that lost its network measures on.
import { fetched } from './send.js';

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
  const imported = [...text.matchAll(IMPORT)].map(([, one]) => one);
  const urls = await Promise.all(imported.map(moduleUrl));
  imported.forEach((one, at) => { text = text.replaceAll(`from './${one}'`, `from '${urls[at]}'`); });
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
