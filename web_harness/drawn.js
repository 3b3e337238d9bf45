// How an entry draws a concept of a pack (docs/bundle.md, "Packs"); bench/schema/conformance/concepts.json pins it.
import { RefusedError } from './refused.js';

/** @import { Component, ConceptForm, Drawn, GoldenSet, Manifest } from './types' */

/**
 * An entry as it draws a concept, or a pack's default where none is named.
 * @param {Manifest} manifest
 * @param {string} entryId
 * @param {string | null} concept
 * @returns {Drawn}
 * @throws {RefusedError} there is no such entry, or it does not draw that
 */
export function drawn(manifest, entryId, concept) {
  const entry = manifest.entries.find((one) => one.id === entryId);
  if (!entry) throw new RefusedError(`has no entry ${entryId}`);
  const forms = formsOf(manifest, entryId);
  const wanted = concept ?? manifest.default_concept ?? null;
  mustDraw(manifest, entryId, forms, wanted);
  const form = (wanted && forms.get(wanted)) || null;
  const others = filesOf([...forms.values()].filter((one) => one !== form && one.name !== form?.name));
  return {
    entry: form ? { ...entry, golden: form.golden, parity: form.parity } : entry,
    concept: wanted,
    patch: form?.way === 'patch' ? form.name : null,
    function: form?.way === 'function' ? form.name : null,
    components: entry.components.map((component) => componentOf(component, form, others)),
    golden: goldenOf(manifest, form?.golden ?? entry.golden),
  };
}

/**
 * How an entry draws the concepts beside the default, by their names.
 * @param {Manifest} manifest
 * @param {string} entryId
 * @returns {Map<string, ConceptForm>}
 */
function formsOf({ concepts = [] }, entryId) {
  return new Map(concepts.flatMap(({ name, forms = [] }) => (
    forms.filter((form) => form.entry === entryId).map((form) => /** @type {[string, ConceptForm]} */ ([name, form]))
  )));
}

/**
 * @param {Manifest} manifest
 * @param {string} entryId
 * @param {Map<string, ConceptForm>} forms
 * @param {string | null} wanted
 */
function mustDraw({ concepts = [], default_concept: usual = null }, entryId, forms, wanted) {
  if (wanted === usual) return;
  if (!usual) throw new RefusedError('is no pack of concepts, it draws one effect alone');
  const names = concepts.map((one) => one.name);
  if (!names.includes(String(wanted))) throw new RefusedError(`has no concept ${wanted}; it has: ${names.join(', ')}`);
  if (!forms.has(String(wanted))) {
    throw new RefusedError(`${entryId} does not draw ${wanted}; it draws: ${[usual, ...forms.keys()].join(', ')}`);
  }
}

/** Files that forms name. @param {ConceptForm[]} forms */
const filesOf = (forms) => new Set(forms.filter((form) => form.way !== 'function').map((form) => form.name));

/**
 * The component with the files that a concept needs, and its model in place of the entry point where it has one.
 * @param {Component} component
 * @param {ConceptForm | null} form
 * @param {Set<string>} others files of other concepts
 * @returns {Component}
 */
function componentOf(component, form, others) {
  const { entry_point: start, files } = component;
  const isStart = (/** @type {string} */ path) => `/${path}`.endsWith(`/${start}`);
  const hasModel = form?.way === 'model' && files.some(({ path }) => path === form.name);
  const needed = files.filter(({ path }) => (hasModel ? !others.has(path) && !isStart(path) : !others.has(path) || isStart(path)));
  return { ...component, files: needed, entry_point: hasModel ? form.name : start };
}

/**
 * A golden set with its inputs, wherever they stand.
 * @param {Manifest} manifest
 * @param {string} id
 * @returns {GoldenSet | null}
 */
function goldenOf({ golden }, id) {
  const found = golden.find((one) => one.id === id) ?? null;
  const inputs = found?.inputs_of && golden.find((one) => one.id === found.inputs_of)?.inputs;
  return found && inputs ? { ...found, inputs } : found;
}
