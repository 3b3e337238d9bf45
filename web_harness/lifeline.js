// How a page sees the end of a worker that could not say anything: a crash, no memory left, a thread that waits for ever.

/** @import { FromWorker } from './types' */

/**
 * Seconds. No load and no frame that somebody waits for takes longer; and the computer that asked waits for longer (300 s,
 * bench/devices/remote.py), so that it hears from this page what happened.
 */
export const LONGEST_SILENCE_S = 240;
// Of a worker that only begins, whose modules are in memory.
const LONGEST_START_S = 60;
const TICK_MS = 1000;

/**
 * In a worker, before its first word: hold the lock of its name until it ends.
 * @returns {Promise<boolean>} whether it is held; pages over plain HTTP have no locks
 */
export function holdLifeline() {
  return new Promise((resolve) => {
    if (!navigator.locks || !self.name) return resolve(false);
    const forEver = () => {
      resolve(true);
      return new Promise(() => {});
    };
    return navigator.locks.request(self.name, forEver).catch(() => resolve(false));
  });
}

/**
 * In its page: calls `gone` once the worker of that name has ended, however it did. Its first word is `begun`, and what
 * waits for the lock from then on is behind the worker; to look for who holds it would miss a worker that ends between two
 * looks.
 * @param {Worker} worker
 * @param {string} name no other worker's
 * @param {AbortSignal} signal ends the watch
 * @param {() => void} gone
 */
export function whenGone(worker, name, signal, gone) {
  worker.addEventListener('message', (/** @type {MessageEvent<FromWorker>} */ { data }) => {
    if (data.kind !== 'begun' || !data.held || signal.aborted) return;
    // Refused once the watch has ended.
    navigator.locks.request(name, { signal }, () => gone()).catch(() => {});
  });
}

/**
 * In its page: tells how long the worker has said nothing, and calls `lost` once that is too long. Counted in ticks, so
 * that the hours of a device that slept are none.
 * @param {Worker} worker
 * @param {AbortSignal} signal ends the watch
 * @param {(seconds: number) => void} tell
 * @param {(seconds: number) => void} lost
 */
export function whenSilent(worker, signal, tell, lost) {
  let [silent, most] = [0, LONGEST_START_S];
  worker.addEventListener('message', () => { [silent, most] = [0, LONGEST_SILENCE_S]; });
  const ticks = setInterval(() => {
    silent += TICK_MS / 1000;
    if (silent >= most) lost(silent);
    else tell(silent);
  }, TICK_MS);
  signal.addEventListener('abort', () => clearInterval(ticks));
}
