// What is measured, and by what, in words for people.

/** @import { Job, Manifest } from './types' */

/**
 * What a Job draws: model, entry, of a pack the concept, of several components the one.
 * @param {Pick<Manifest, 'name' | 'default_concept'>} manifest
 * @param {Pick<Job, 'entry' | 'concept' | 'component'>} job
 */
export function drawnName({ name, default_concept: usual }, { entry, concept, component }) {
  return [name, entry, concept ?? usual, component].filter(Boolean).join(' ');
}

/** What computes it. @param {Pick<Job, 'provider' | 'threads'>} job */
export function wayOf({ provider, threads }) {
  return `${provider === 'webgpu' ? 'WebGPU' : 'WebAssembly'}${threads > 1 ? `, ${threads} threads` : ''}`;
}
