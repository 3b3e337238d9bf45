// What a person sees: told by steps, nothing is measured here.
import { LONGEST_SILENCE_S } from './lifeline.js';
import { wayOf } from './naming.js';
import { addRow } from './table.js';

/** @import { About } from './types' */
/** @import { Told } from './session.js' */

/**
 * @typedef {{ step: 'begin' | 'waiting' | 'lost' | 'found' }
 *   | { step: 'about', about: About }
 *   | { step: 'over', words?: string }
 *   | { step: 'failed', words: string, status?: number }
 *   | { step: 'camera', open: () => void }
 *   | Told} Shown
 */
/** @typedef {{ title: string, what?: string, words?: string, again?: string }} Sentences */

const LONG_LOST_MS = 15000;
const LONG_SILENT_S = 15;

/** @type {Record<string, string>} */
const STEPS = {
  loading: 'Loading it',
  comparing: 'Is its picture the right one?',
  'warming up': 'Warming up: these frames do not count',
};

/** What to do where the computer refuses, by its answer's status. @type {Record<number, Sentences>} */
const REFUSALS = {
  401: {
    title: 'This session is over',
    words: 'Or its address was another one. Scan the code that the computer shows now: each session has its own.',
  },
  404: { title: 'The computer has forgotten this page', words: 'Load it again to go on.', again: 'Load again' },
  409: {
    title: 'Another tab measures',
    words: 'Go on there, or measure in this one: the other one stops then. Nothing is lost.',
    again: 'Measure here',
  },
};

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 */
const element = (id) => /** @type {T} */ (document.getElementById(id));

/** @type {ReturnType<typeof setTimeout> | undefined} */
let lostForLong;
let wasHidden = false;

/** @param {Shown} told */
export function show(told) {
  if (told.step === 'lost' || told.step === 'found') return network(told.step === 'lost');
  if (told.step === 'about') return about(told.about);
  if (told.step === 'result') return told.result && told.work && addRow(told.result, told.work);
  if (told.step === 'camera') return camera(told.open);
  wasHidden ||= told.step === 'hidden';
  const { dataset } = document.body;
  dataset.step = told.step;
  dataset.at = told.step === 'measuring' ? told.at : '';
  document.body.toggleAttribute('data-failed', told.step === 'failed');
  element('was-hidden').hidden = !wasHidden || told.step !== 'measuring';
  element('keep').hidden = !['waiting', 'files', 'measuring'].includes(told.step);
  const { title, what = '', words = '', again } = sentences(told);
  write('title', title);
  write('what', what);
  write('words', words);
  const button = element('again');
  button.hidden = !again;
  write('again', again ?? 'Try again');
  button.onclick = () => location.reload();
  progress(told);
  return undefined;
}

/**
 * @param {Exclude<Shown, { step: 'about' | 'result' | 'lost' | 'found' | 'camera' }>} told
 * @returns {Sentences}
 */
function sentences(told) {
  if (told.step === 'over') return over(told.words ?? '');
  if (told.step === 'failed') {
    const known = told.status ? REFUSALS[told.status] : undefined;
    return known ?? { title: 'This did not work', words: sentence(told.words), again: 'Try again' };
  }
  if (told.step === 'waiting') return { title: 'Ready', words: 'The computer begins soon.' };
  if (told.step === 'files') {
    return { title: 'Fetching', what: 'Models and runtime', words: `${megabytes(told.done)} of ${megabytes(told.total)} MB of models` };
  }
  if (told.step === 'hidden') return { title: 'Paused', words: 'This page is hidden. Bring it back in front to go on.' };
  if (told.step === 'sending') return { title: 'Sending', words: 'Measured. Nothing is lost: it is sent once the network is there.' };
  if (told.step === 'measuring') return measuring(told);
  return { title: 'Connecting', words: 'Asking the computer what to measure.' };
}

/** @param {string} words the host's: "Done. ...", "Ended: ...", or why it is over @returns {Sentences} */
function over(words) {
  if (/^Ended: /.test(words)) return { title: 'Ended early', words: sentence(words.replace(/^Ended: /, '')), again: 'Load again' };
  if (/^Done\. /.test(words)) return { title: 'Done', words: `${words.replace(/^Done\. /, '')} You may close this page.` };
  if (words === 'the session is over') words = 'the computer measures no more';
  const isKept = element('results').dataset.results !== '0';
  return { title: 'Session over', words: `${sentence(words)}${isKept ? ' What was measured is on the computer.' : ''}` };
}

/** @param {Told} told @returns {Sentences} */
function measuring({ detail, at = '', done = 0, total, job, answered = 0, jobs = 1, silent = 0 }) {
  const unit = job?.iterations ? 'Frame' : 'Second';
  const lines = [STEPS[at] ?? `${unit} ${done} of ${total}`];
  if (job) lines.unshift(wayOf(job));
  if (jobs > 1) lines.push(`Measurement ${Math.min(answered + 1, jobs)} of ${jobs}`);
  if (silent >= LONG_SILENT_S) lines.push(`It has worked on this for ${silent} s. After ${LONGEST_SILENCE_S} s it is given up.`);
  const isChecked = at === 'loading' || at === 'comparing';
  return { title: isChecked ? 'Checking' : 'Measuring', what: detail, words: lines.join('\n') };
}

/** @param {Shown} told */
function progress(told) {
  const bar = /** @type {HTMLProgressElement} */ (element('bar'));
  bar.hidden = told.step !== 'files' && told.step !== 'measuring';
  if (!('total' in told) || bar.hidden) return;
  bar.value = told.share ?? (told.total ? (told.done ?? 0) / told.total : 0);
}

/** @param {boolean} lost */
function network(lost) {
  document.body.toggleAttribute('data-lost', lost);
  if (lost && lostForLong) return;
  clearTimeout(lostForLong);
  lostForLong = undefined;
  const { step = '' } = document.body.dataset;
  const then = ['measuring', 'sending', 'hidden'].includes(step) ? 'Measuring goes on; results are sent' : 'This page goes on';
  write('lost', lost ? `No network. ${then} when it is back.` : '');
  if (!lost) return;
  lostForLong = setTimeout(() => {
    write('lost', 'The computer does not answer. Is its command still running, and this device in its network?');
  }, LONG_LOST_MS);
}

/** @param {About} told */
function about({ browser, model, isolated, gpu, most_threads: threads }) {
  element('plain').hidden = isolated;
  const parts = [
    model, browser, isolated ? `${threads} threads` : 'one thread (not isolated)', gpu ? `GPU ${gpu}` : 'no WebGPU',
  ];
  // A line ends between two of them.
  element('about').replaceChildren(...parts.filter(Boolean).flatMap((part, at, all) => {
    const word = document.createElement('span');
    word.className = 'word';
    word.textContent = at < all.length - 1 ? `${part} ·` : part;
    return [word, ' '];
  }));
}

/** The live camera can be opened from now on. @param {() => void} open */
function camera(open) {
  const button = element('see');
  button.hidden = false;
  button.onclick = open;
}

/**
 * Told once: who listens to a page hears what changes.
 * @param {string} id
 * @param {string} text
 */
function write(id, text) {
  const place = element(id);
  if (place.textContent !== text) place.textContent = text;
}

/** @param {string} words */
const sentence = (words) => (words ? `${words[0].toUpperCase()}${words.slice(1).replace(/[.]?$/, '.')}` : '');

/** @param {number} [bytes] */
const megabytes = (bytes = 0) => (bytes / 1e6).toFixed(1);
