/** @import { DType, Tensor } from './types' */

const ARRAYS = /** @type {const} */ ({
  float32: Float32Array, float16: Uint16Array, uint8: Uint8Array, int32: Int32Array, int64: BigInt64Array,
});

/** @param {number[]} shape */
export const sizeOf = (shape) => shape.reduce((product, length) => product * length, 1);

/**
 * A tensor of little-endian numbers, as golden files hold them. Browsers run on little-endian machines alone.
 * @param {DType} dtype
 * @param {number[]} shape
 * @param {ArrayBuffer} bytes
 * @returns {Tensor}
 */
export function tensorOf(dtype, shape, bytes) {
  const data = new ARRAYS[dtype](bytes);
  if (data.length !== sizeOf(shape)) throw new Error(`${data.length} numbers for a tensor of ${sizeOf(shape)}`);
  return { dtype, shape, data };
}

/**
 * The same values in another type; a tensor of its own in any case.
 * @param {Tensor} tensor
 * @param {DType} dtype
 * @returns {Tensor}
 */
export function cast(tensor, dtype) {
  if (tensor.dtype === dtype) return { dtype, shape: tensor.shape, data: tensor.data.slice() };
  const data = new ARRAYS[dtype](tensor.data.length);
  const read = reader(tensor);
  for (let at = 0; at < data.length; at += 1) {
    const value = read(at);
    if (data instanceof BigInt64Array) data[at] = BigInt(Math.trunc(value));
    else data[at] = dtype === 'float16' ? halfOf(value) : value;
  }
  return { dtype, shape: tensor.shape, data };
}

/**
 * Reads the number at a place.
 * @param {Tensor} tensor
 * @returns {(at: number) => number}
 */
export function reader({ dtype, data }) {
  if (dtype === 'float16') return (at) => floatOf(Number(data[at]));
  if (dtype === 'int64') return (at) => Number(data[at]);
  return (at) => /** @type {number} */ (data[at]);
}

/** IEEE 754 binary16 to a number, exactly. @param {number} half */
export function floatOf(half) {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest binary16, ties to even. @param {number} value */
export function halfOf(value) {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  // Steps of the binary16 next to it; below 2^-14 all are 2^-24.
  const exponent = size < 2 ** -14 ? -14 : Math.floor(Math.log2(size));
  const steps = evenlyRounded(size / 2 ** (exponent - 10));
  // Rounded up to the next power of two, or from below into the normal ones: the bits carry over by themselves.
  return sign | (((exponent + 14) << 10) + steps);
}

/** @param {number} value not negative */
function evenlyRounded(value) {
  const low = Math.floor(value);
  const rest = value - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 ? low + 1 : low;
}
