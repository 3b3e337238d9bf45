// One worker for each group of Jobs: a provider and a number of threads, and nothing of an earlier one.
import { openEngine } from './engine.js';
import { holdLifeline } from './lifeline.js';
import { openLive } from './live.js';
import { measureGroup } from './measure.js';
import { drawnName } from './naming.js';

/** @import { FromWorker, State, ToWorker } from './types' */

const TELL_EVERY_MS = 200;
const STEP_LOOKS_MS = 20;

/** @type {import('./live.js').LiveModel | null} */
let live = null;

/** @type {((state: State) => void)[]} */
const waiting = [];
let toldAt = -TELL_EVERY_MS;
let toldStep = '';

/** Nanoseconds on this worker's clock, whole ones, so that parts of a frame add up. */
const clock = () => Math.round(performance.now() * 1e6);

addEventListener('message', (/** @type {MessageEvent<ToWorker>} */ { data }) => {
  if (data.kind === 'state') waiting.shift()?.(data.state);
  else carryOut(data).catch((problem) => post({ kind: 'failed', message: String(problem?.message ?? problem) }));
});

const begun = holdLifeline().then((held) => post({ kind: 'begun', held }));

/** @param {Exclude<ToWorker, { kind: 'state' }>} asked */
async function carryOut(asked) {
  await begun;
  if (asked.kind === 'measure') return measure(asked);
  if (asked.kind === 'live') {
    live = await openLive(await openEngine(asked.provider, asked.threads, asked.urls), asked.work);
    return post({ kind: 'ready', input: live.input, output: live.output });
  }
  const pixels = await live?.draw(asked.pixels);
  return pixels && post({ kind: 'drawn', pixels }, [pixels.buffer]);
}

/** @param {Extract<ToWorker, { kind: 'measure' }>} asked */
async function measure({ provider, threads, urls, work, about, mostSamples }) {
  const engine = await openEngine(provider, threads, urls);
  const around = { engine, clock, look, tell, timerStepNs: timerStepNs(), mostSamples };
  post({ kind: 'results', results: await measureGroup(work, about, around) });

  /**
   * @param {number} number
   * @param {number} done
   * @param {string} step
   */
  function tell(number, done, step) {
    const now = performance.now();
    if (now - toldAt < TELL_EVERY_MS && step === toldStep) return;
    [toldAt, toldStep] = [now, step];
    const { job, manifest } = work[number];
    post({ kind: 'progress', number, done, step, detail: drawnName(manifest, job) });
  }
}

/** The state of the device, which only the page sees. @returns {Promise<State>} */
function look() {
  return new Promise((resolve) => {
    waiting.push(resolve);
    post({ kind: 'look' });
  });
}

/** The smallest step of the clock, in nanoseconds: browsers make it coarse. */
function timerStepNs() {
  let smallest = Infinity;
  const end = performance.now() + STEP_LOOKS_MS;
  for (let last = performance.now(), now = last; now < end; now = performance.now()) {
    if (now > last) smallest = Math.min(smallest, now - last);
    last = now;
  }
  return Number.isFinite(smallest) ? Math.round(smallest * 1e3) * 1e3 : STEP_LOOKS_MS * 1e6;
}

/**
 * @param {FromWorker} message
 * @param {Transferable[]} given that go along
 */
function post(message, given = []) {
  postMessage(message, { transfer: given });
}
