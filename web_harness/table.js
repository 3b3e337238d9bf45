// What was measured on this device so far, in a table: a row for each model and what computes it.
import { drawnName, wayOf } from './naming.js';
import { frameLength, medianOf } from './shelf.js';

/** @import { Result, Work } from './types' */

/** Times in nanoseconds of each row's frames. @type {Map<string, { row: HTMLTableRowElement, times: number[] }>} */
const rows = new Map();
/** @type {Set<string>} */
const told = new Set();

/**
 * Add a Result, once.
 * @param {Result} result
 * @param {Pick<Work, 'manifest'>} work
 */
export function addRow(result, { manifest }) {
  const { job } = result;
  const number = JSON.stringify([result.process, job]);
  if (told.has(number)) return;
  told.add(number);
  const body = /** @type {HTMLTableSectionElement} */ (document.getElementById('results'));
  body.dataset.results = String(told.size);
  const isSimulated = Boolean(/** @type {{ simulated?: boolean }} */ (result.device).simulated);
  const way = `${wayOf(job)}${isSimulated ? ', simulated: no speed of this device' : ''}`;
  const key = JSON.stringify([job.bundle, drawnName(manifest, job), way, job.mode]);
  const known = rows.get(key) ?? { row: body.insertRow(), times: [] };
  rows.set(key, known);
  known.times.push(...result.frames.map(frameLength));
  fill(known.row, drawnName(manifest, job), way, result.errors[0] ?? known.times);
  /** @type {HTMLElement} */ (document.getElementById('table')).hidden = false;
}

/**
 * @param {HTMLTableRowElement} row
 * @param {string} name
 * @param {string} way
 * @param {string | number[]} found an error, or times
 */
function fill(row, name, way, found) {
  const head = document.createElement('th');
  head.scope = 'row';
  // A line ends between words, not at a name's hyphen.
  for (const word of name.split(' ')) head.append(made('span', word, 'word'), ' ');
  head.append(made('small', way));
  row.replaceChildren(head);
  if (typeof found === 'string') {
    head.colSpan = 3;
    head.append(made('span', found, 'error'));
    return;
  }
  const ms = medianOf(found) / 1e6;
  row.insertCell().append(`${short(ms)} ms`);
  row.insertCell().append(made('b', short(1000 / ms)), ' FPS');
}

/** Three figures, as far as they matter. @param {number} value */
const short = (value) => value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);

/**
 * @param {string} tag
 * @param {string} text
 * @param {string} [kind]
 */
function made(tag, text, kind = '') {
  const one = document.createElement(tag);
  one.textContent = text;
  one.className = kind;
  return one;
}
