import { agreement } from './parity.js';
import { PictureConverter, needsConversion } from './picture.js';
import { cast, sizeOf } from './tensor.js';

/** @import { Frame, LoadedModel, ModelPlan, Parity, Tensor } from './types' */

/** A loaded model with what its frames need: `frame` is one edit, from picture to picture. */
export class TimedModel {
  /** @type {Tensor[]} of the last run */
  outputs = [];

  /**
   * @param {ModelPlan} plan
   * @param {LoadedModel} model
   * @param {() => number} clock nanoseconds now
   */
  constructor(plan, model, clock) {
    this.plan = plan;
    this.model = model;
    this.clock = clock;
    this.inputs = new Map(plan.inputs.map(({ spec, golden }) => [spec.name, cast(golden, spec.dtype)]));
    const input = plan.inputs.find(({ spec }) => needsConversion(spec));
    this.pictureOutput = plan.outputs.findIndex(({ spec }) => needsConversion(spec));
    if (input) {
      const golden = /** @type {Float32Array} */ (this.inputs.get(input.spec.name)?.data);
      this.toTensor = new PictureConverter(input.spec);
      this.pictureIn = new Uint8ClampedArray(sizeOf(input.spec.shape));
      this.toTensor.toPicture(golden, this.pictureIn);
      this.tensorIn = golden;
    }
    if (this.pictureOutput >= 0) {
      const { spec } = plan.outputs[this.pictureOutput];
      this.toPicture = new PictureConverter(spec);
      this.pictureOut = new Uint8ClampedArray(sizeOf(spec.shape));
    }
  }

  /** One run on what the inputs hold: before the first frame, the golden ones. */
  async run() {
    this.outputs = await this.model.run(this.inputs);
  }

  /**
   * How well the output of the last run agrees with the golden one.
   * @returns {Parity}
   */
  parity() {
    const { outputs } = this.plan;
    return agreement(this.outputs, outputs.map((one) => one.golden), outputs.map((one) => one.spec.value_range));
  }

  /**
   * One edit: picture to tensor, inference, tensor to picture. The outputs are read within the inference.
   * @param {number} round
   * @returns {Promise<Frame>}
   */
  async frame(round) {
    const { clock, model, inputs } = this;
    const started = clock();
    let before = started;
    if (this.toTensor && this.pictureIn && this.tensorIn) {
      this.toTensor.toTensor(this.pictureIn, this.tensorIn);
      before = clock();
    }
    for (let left = this.plan.repeat; left > 0; left -= 1) this.outputs = await model.run(inputs);
    const after = clock();
    let ended = after;
    if (this.toPicture && this.pictureOut) {
      this.toPicture.toPicture(/** @type {Float32Array} */ (this.outputs[this.pictureOutput].data), this.pictureOut);
      ended = clock();
    }
    return { start_ns: started, pre_ns: before - started, inference_ns: after - before, post_ns: ended - after, round };
  }
}

/** @param {Frame} frame */
export const lengthOf = (frame) => frame.pre_ns + frame.inference_ns + frame.post_ns;
