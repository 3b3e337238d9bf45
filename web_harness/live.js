// A model that draws picture after picture: what the camera's screen asks of a worker.
import { mustReach } from './measure.js';
import { TimedModel } from './model.js';
import { converterOf, pictureSize } from './picture.js';
import { planModel } from './plan.js';
import { RefusedError } from './refused.js';

/** @import { Engine, LoadedModel, ModelPlan, TensorPlan, Work } from './types' */

/**
 * The model of a Job, held against its golden output first.
 * @param {Engine} engine
 * @param {Work} work
 * @returns {Promise<LiveModel>}
 */
export async function openLive(engine, work) {
  const plan = await planModel(work);
  const model = await engine.load(plan);
  const timed = new TimedModel(plan, model, () => 0);
  await timed.run();
  mustReach(plan.floorDb, timed.parity(), 'from the golden output');
  return new LiveModel(plan, model, timed.inputs);
}

/** Draws RGBA pixels of `input` size, (height, width, 4) bytes, as ones of `output` size; other inputs stay golden. */
export class LiveModel {
  /**
   * @param {ModelPlan} plan
   * @param {LoadedModel} model
   * @param {Map<string, import('./types').Tensor>} inputs
   */
  constructor(plan, model, inputs) {
    const [from, to] = [pictureAmong(plan.inputs), pictureAmong(plan.outputs)];
    this.model = model;
    this.inputs = inputs;
    this.repeat = plan.repeat;
    this.input = from.size;
    this.output = to.size;
    this.place = to.place;
    this.tensor = /** @type {any} */ (inputs.get(from.spec.name)?.data);
    this.toTensor = converterOf(from.spec);
    this.toPicture = converterOf(to.spec);
  }

  /**
   * @param {Uint8ClampedArray} pixels
   * @returns {Promise<Uint8ClampedArray<ArrayBuffer>>}
   */
  async draw(pixels) {
    this.toTensor.toTensor(pixels, this.tensor, 4);
    let outputs = await this.model.run(this.inputs);
    for (let left = this.repeat - 1; left > 0; left -= 1) outputs = await this.model.run(this.inputs);
    const drawn = new Uint8ClampedArray(this.output.width * this.output.height * 4).fill(255);
    this.toPicture.toPicture(/** @type {any} */ (outputs[this.place].data), drawn, 4);
    return drawn;
  }
}

/** @param {TensorPlan[]} tensors */
function pictureAmong(tensors) {
  for (const [place, { spec }] of tensors.entries()) {
    const size = pictureSize(spec);
    if (size) return { place, spec, size };
  }
  throw new RefusedError('this model takes or gives no picture');
}
