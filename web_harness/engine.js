/** @import { DType, Engine, LoadedModel, ModelPlan, Numbers, Provider, RuntimeUrls, Tensor } from './types' */

const ERRORS_ALONE = 3;

/**
 * onnxruntime-web with one provider and a number of threads, which it freezes with its first model: another setting needs
 * another worker.
 * @param {Provider} provider
 * @param {number} threads
 * @param {RuntimeUrls} urls
 * @returns {Promise<Engine>}
 */
export async function openEngine(provider, threads, urls) {
  const ort = await import(urls.library);
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = { mjs: urls.loader, wasm: urls.wasm };
  return {
    version: String(ort.env.versions?.web ?? ''),
    /** @param {ModelPlan} plan */
    async load(plan) {
      const session = await ort.InferenceSession.create(plan.model, {
        executionProviders: [provider],
        externalData: plan.external,
        logSeverityLevel: ERRORS_ALONE,
      });
      const names = plan.outputs.map((one) => one.spec.name);
      return new OrtModel(ort, session, names);
    },
  };
}

/** @implements {LoadedModel} */
class OrtModel {
  /** @type {Map<Tensor, any>} tensors of the runtime over the same memory, so that a frame makes none */
  #fed = new Map();

  /**
   * @param {any} ort
   * @param {any} session
   * @param {string[]} names of the outputs
   */
  constructor(ort, session, names) {
    this.ort = ort;
    this.session = session;
    this.names = names;
  }

  /**
   * @param {Map<string, Tensor>} inputs
   * @returns {Promise<Tensor[]>}
   */
  async run(inputs) {
    /** @type {Record<string, any>} */
    const feeds = {};
    for (const [name, tensor] of inputs) feeds[name] = this.#feed(tensor);
    const found = await this.session.run(feeds, this.names);
    const outputs = [];
    for (const name of this.names) {
      const output = found[name];
      // Where it is still the GPU's, this waits until it was computed and copied.
      outputs.push(tensorOfOrt(output.type, output.dims, await output.getData()));
      output.dispose?.();
    }
    return outputs;
  }

  async release() {
    await this.session.release();
  }

  /** @param {Tensor} tensor */
  #feed(tensor) {
    let fed = this.#fed.get(tensor);
    if (!fed) {
      fed = new this.ort.Tensor(tensor.dtype, tensor.data, tensor.shape);
      this.#fed.set(tensor, fed);
    }
    return fed;
  }
}

/**
 * @param {DType} dtype
 * @param {readonly number[]} dims
 * @param {any} data
 * @returns {Tensor}
 */
function tensorOfOrt(dtype, dims, data) {
  const isBits = dtype !== 'float16' || data instanceof Uint16Array;
  /** @type {Numbers} */
  const numbers = isBits ? data : new Uint16Array(data.buffer, data.byteOffset, data.length);
  return { dtype, shape: [...dims], data: numbers };
}
