import { reader } from './tensor.js';

/** @import { Parity, Tensor } from './types' */

/** A model that does not compute its golden outputs; its message says how, in one line. */
export class WrongOutputError extends Error {}

/**
 * PSNR in dB (null where infinite) and maximum absolute error over all outputs; the worst output counts. The peak is the
 * width of the declared value range, or of the golden values where none is declared.
 * @param {Tensor[]} outputs
 * @param {Tensor[]} golden
 * @param {([number, number] | null)[]} ranges
 * @returns {Parity}
 * @throws {WrongOutputError} another number of outputs, another shape, or values that are not finite
 */
export function agreement(outputs, golden, ranges) {
  if (outputs.length !== golden.length) {
    throw new WrongOutputError(`the model gives ${outputs.length} outputs, its contract ${golden.length}`);
  }
  let worstDb = Infinity;
  let worstError = 0;
  outputs.forEach((output, number) => {
    const expected = golden[number];
    if (`${output.shape}` !== `${expected.shape}`) {
      throw new WrongOutputError(`output of shape (${output.shape}), golden output of shape (${expected.shape})`);
    }
    const [found, wanted] = [reader(output), reader(expected)];
    let [squares, low, high] = [0, Infinity, -Infinity];
    for (let at = 0; at < output.data.length; at += 1) {
      const value = wanted(at);
      const difference = found(at) - value;
      if (!Number.isFinite(difference)) throw new WrongOutputError('the output holds values that are not finite');
      squares += difference * difference;
      worstError = Math.max(worstError, Math.abs(difference));
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    [low, high] = ranges[number] ?? [low, high];
    if (squares > 0) {
      const peak = high - low || 1;
      worstDb = Math.min(worstDb, 10 * Math.log10((peak * peak) / (squares / output.data.length)));
    }
  });
  return { psnr_db: Number.isFinite(worstDb) ? worstDb : null, max_abs_error: worstError };
}
