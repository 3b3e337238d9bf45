import { drawn } from './drawn.js';
import { RefusedError } from './refused.js';
import { tensorOf } from './tensor.js';

/** @import { Component, Entry, ModelPlan, TensorPlan, Work } from './types' */

export const DEFAULT_FLOOR_DB = 30;
// Rounding differs between processors; a model exported below its floor is held to what it had, less this.
const BELOW_FLOOR_MARGIN_DB = 3;

/**
 * The plan of a Job's component, of a pack as it draws the Job's concept; of an entry with one component that needs no name.
 * @param {Work} work
 * @returns {Promise<ModelPlan>}
 */
export async function planModel(work) {
  const { job, manifest } = work;
  const { entry, components, golden, patch, function: called } = drawnOf(work);
  if (patch || called) throw new RefusedError(`${manifest.name}: no browser draws the concept ${job.concept} of ${entry.id}`);
  const component = components.find((one) => job.component === null || job.component === one.name);
  if (!component || (job.component === null && components.length > 1)) {
    const there = components.map((one) => one.name).join(', ');
    throw new RefusedError(`entry ${entry.id} has the components ${there}, name one of them`);
  }
  const path = modelPath(component);
  const folder = path.slice(0, path.lastIndexOf('/') + 1);
  const beside = component.files.filter((file) => file.path !== path && file.path.startsWith(folder));
  return {
    path,
    model: new Uint8Array(await read(work, path)),
    external: await Promise.all(beside.map(async (file) => (
      { path: file.path.slice(folder.length), data: new Uint8Array(await read(work, file.path)) }
    ))),
    inputs: await tensors(work, component.inputs, golden?.inputs ?? []),
    outputs: await tensors(work, component.outputs, golden?.outputs ?? []),
    floorDb: floorDb(entry),
    // A component of several is sampled alone; the host knows how often an edit runs it.
    repeat: job.component === null ? component.repeat ?? 1 : 1,
  };
}

/** @param {Work} work */
function drawnOf({ job, manifest }) {
  try {
    return drawn(manifest, job.entry, job.concept ?? null);
  } catch (problem) {
    throw problem instanceof RefusedError ? new RefusedError(`${manifest.name}: ${problem.message}`) : problem;
  }
}

/**
 * @param {Work} work
 * @param {string} path
 */
async function read({ files }, path) {
  const file = files[path];
  if (!file) throw new RefusedError(`the session lacks the file ${path}`);
  return file.arrayBuffer();
}

/**
 * Path in the bundle of the file that the runtime opens: the entry point, whole or as a path's end.
 * @param {Component} component
 */
export function modelPath(component) {
  const paths = component.files.map((file) => file.path);
  const named = paths.filter((path) => path === component.entry_point || path.endsWith(`/${component.entry_point}`));
  if (named.length === 1) return named[0];
  if (paths.length === 1) return paths[0];
  throw new RefusedError(`component ${component.name}: its entry point ${component.entry_point} is none of its files`);
}

/** @param {Entry} entry */
function floorDb({ parity }) {
  if (!parity) return DEFAULT_FLOOR_DB;
  if (parity.psnr_db === null || parity.psnr_db >= parity.floor_db) return parity.floor_db;
  return parity.psnr_db - BELOW_FLOOR_MARGIN_DB;
}

/**
 * @param {Work} work
 * @param {import('./types').TensorSpec[]} contract
 * @param {import('./types').GoldenTensor[]} golden
 * @returns {Promise<TensorPlan[]>}
 */
function tensors(work, contract, golden) {
  return Promise.all(contract.map(async (spec) => {
    const values = golden.find((one) => one.name === spec.name);
    if (!values) throw new RefusedError(`the bundle has no golden values for tensor ${spec.name}`);
    return { spec, golden: tensorOf(values.dtype, values.shape, await read(work, values.file.path)) };
  }));
}
