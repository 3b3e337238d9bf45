// A group of Jobs in a worker of its own, and every way in which that can end.
import { stateNow } from './browser.js';
import { whenGone, whenSilent } from './lifeline.js';
import { moduleUrl } from './modules.js';

/** @import { FromWorker, Result, ToWorker } from './types' */

/** The host asked to measure no more. */
export class StoppedError extends Error {}
/** The page was hidden: what was measured meanwhile counts nothing. */
export class HiddenError extends Error {}
/** A worker ended without its results. */
export class WorkerDiedError extends Error {}

/**
 * The Results of a group, in its order.
 * @param {Extract<ToWorker, { kind: 'measure' }>} asked
 * @param {AbortSignal} stop
 * @param {(told: FromWorker) => void} hear everything that the worker says
 * @param {(seconds: number) => void} tellSilence for how long it has said nothing
 * @returns {Promise<Result[]>}
 * @throws {StoppedError | HiddenError | WorkerDiedError}
 */
export async function measureInWorker(asked, stop, hear, tellSilence) {
  const name = `pocketgan-${asked.about.process}`;
  const worker = new Worker(await moduleUrl('worker.js'), { type: 'module', name });
  const over = new AbortController();
  const { signal } = over;
  try {
    return await new Promise((resolve, reject) => {
      worker.addEventListener('message', (/** @type {MessageEvent<FromWorker>} */ { data }) => {
        hear(data);
        if (data.kind === 'results') resolve(data.results);
        else if (data.kind === 'failed') reject(new WorkerDiedError(`its worker failed: ${data.message}`));
        else if (data.kind === 'look') stateNow().then((state) => worker.postMessage({ kind: 'state', state }));
      });
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        reject(new WorkerDiedError(`its worker ended (${event.message || 'without a word'})`));
      });
      document.addEventListener('visibilitychange', () => {
        if (document.visibilityState !== 'visible') reject(new HiddenError('the page was hidden'));
      }, { signal });
      stop.addEventListener('abort', () => reject(new StoppedError()), { signal });
      if (stop.aborted) reject(new StoppedError());
      if (document.visibilityState !== 'visible') reject(new HiddenError('the page was hidden'));
      whenGone(worker, name, signal, () => reject(new WorkerDiedError('its worker ended without a word')));
      whenSilent(worker, signal, tellSilence, (seconds) => {
        reject(new WorkerDiedError(`its worker said nothing for ${seconds} s`));
      });
      worker.postMessage(asked);
    });
  } finally {
    over.abort();
    worker.terminate();
  }
}
