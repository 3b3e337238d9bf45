// The models that this page measured and found right: what the camera's screen has to choose from.
import { drawn } from './drawn.js';
import { pictureSize } from './picture.js';

/** @import { Result, Work } from './types' */

/**
 * @typedef {object} Choice
 * @property {string} model name and entry
 * @property {string | null} concept of a pack
 * @property {Work} work by the fastest provider and number of threads
 * @property {number} medianNs of a frame
 */

/** Each model once, as fast as it was measured. */
export class Shelf {
  /** @type {Map<string, Choice>} */
  #choices = new Map();

  /** @returns {Choice[]} in the order in which they were measured first */
  get choices() {
    return [...this.#choices.values()];
  }

  /**
   * @param {Result} result
   * @param {Work} work
   */
  add(result, work) {
    if (result.errors.length || !result.frames.length || !drawsPictures(work)) return;
    const model = `${work.manifest.name} ${work.job.entry}`;
    const concept = work.job.concept ?? work.manifest.default_concept ?? null;
    // Two bundles of one name are two models.
    const key = JSON.stringify([work.job.bundle, work.job.entry, concept]);
    const medianNs = medianOf(result.frames.map(frameLength));
    const known = this.#choices.get(key);
    if (!known || medianNs < known.medianNs) this.#choices.set(key, { model, concept, work, medianNs });
  }
}

/** Whether an entry is one model that makes a picture of a picture. @param {Work} work */
function drawsPictures({ job, manifest }) {
  const { components } = drawn(manifest, job.entry, job.concept ?? null);
  const [{ inputs, outputs }] = components;
  return components.length === 1 && inputs.some(pictureSize) && outputs.some(pictureSize);
}

/** @param {import('./types').Frame} frame */
export const frameLength = (frame) => frame.pre_ns + frame.inference_ns + frame.post_ns;

/** @param {number[]} values some */
export function medianOf(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
