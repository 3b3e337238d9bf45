// What a person sees: told by steps, nothing is measured here.

/** @import { About } from './types' */
/** @import { Told } from './session.js' */

/**
 * @typedef {{ step: 'begin' | 'waiting' | 'lost' | 'found' }
 *   | { step: 'about', about: About }
 *   | { step: 'over', words?: string, failed?: boolean }
 *   | Told} Shown
 */

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {Shown} told */
export function show(told) {
  const { body } = document;
  if (told.step === 'lost' || told.step === 'found') {
    body.toggleAttribute('data-lost', told.step === 'lost');
    return;
  }
  if (told.step === 'about') return about(told.about);
  if (told.step === 'result') return result(told);
  body.dataset.step = told.step;
  const [title, words] = sentences(told);
  element('title').textContent = title;
  element('words').textContent = words;
  progress(told);
}

/**
 * @param {Exclude<Shown, { step: 'about' | 'result' | 'lost' | 'found' }>} told
 * @returns {[string, string]}
 */
function sentences(told) {
  if (told.step === 'over') return ['failed' in told && told.failed ? 'This did not work' : 'Done', told.words ?? ''];
  if (told.step === 'waiting') return ['Ready', 'Waiting for the computer. Keep this page in front.'];
  if (told.step === 'files') return ['Fetching the models', told.detail ?? ''];
  if (told.step === 'hidden') return ['Paused', 'This page was hidden. What was being measured begins again.'];
  if (told.step === 'sending') return ['Sending', 'Nothing is lost: it is sent once the network is there.'];
  if (told.step === 'measuring') return [`Measuring ${told.detail}`, `${told.at}, ${(told.answered ?? 0) + 1} of ${told.jobs}`];
  return ['pocketgan', 'One moment'];
}

/** @param {Shown} told */
function progress(told) {
  const bar = /** @type {HTMLProgressElement} */ (element('bar'));
  const [done, total] = 'total' in told ? [told.done ?? 0, told.total ?? 1] : [0, 0];
  bar.hidden = !total;
  bar.max = total || 1;
  bar.value = done;
}

/** @param {About} told */
function about({ browser, model, isolated, gpu, most_threads: threads }) {
  element('about').textContent = [
    model, browser, isolated ? `${threads} threads` : 'one thread (not isolated)', gpu ? `GPU ${gpu}` : 'no WebGPU',
  ].filter(Boolean).join(' · ');
}

/** @param {Told} told */
function result({ result: found }) {
  if (!found) return;
  const times = found.frames.map((frame) => frame.pre_ns + frame.inference_ns + frame.post_ns);
  times.sort((one, other) => one - other);
  const half = times[times.length >> 1] / 1e6;
  const { job } = found;
  const way = `${job.provider === 'webgpu' ? 'WebGPU' : 'WebAssembly'}${job.threads > 1 ? `, ${job.threads} threads` : ''}`;
  const row = document.createElement('tr');
  const cells = [`${found.bundle_name} ${job.entry}`, way, found.errors[0] ?? `${half.toFixed(1)} ms`];
  cells.push(found.errors.length ? '' : `${(1000 / half).toFixed(1)} FPS`);
  for (const text of cells) row.insertCell().textContent = text;
  element('results').append(row);
  element('table').hidden = false;
}
