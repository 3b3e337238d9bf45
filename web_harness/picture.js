/** @import { TensorSpec } from './types' */

/**
 * Whether an app converts pixels itself: a float32 NCHW RGB tensor. Pixel entries take the picture as it is.
 * @param {TensorSpec} spec
 */
export function needsConversion(spec) {
  return spec.layout === 'NCHW' && spec.colour_space === 'RGB' && spec.dtype === 'float32'
    && spec.shape.length === 4 && spec.shape[0] === 1 && spec.shape[1] === 3;
}

/**
 * Height and width of the picture that a tensor is, in whichever form; null where it is none.
 * @param {TensorSpec} spec
 * @returns {{ height: number, width: number } | null}
 */
export function pictureSize(spec) {
  if (needsConversion(spec)) return { height: spec.shape[2], width: spec.shape[3] };
  return isPixels(spec) ? { height: spec.shape[1], width: spec.shape[2] } : null;
}

/** Whether a tensor is the bytes of a picture. @param {TensorSpec} spec */
function isPixels({ layout, colour_space: colours, dtype, shape }) {
  return layout === 'NHWC' && colours === 'RGB' && dtype === 'uint8' && shape.length === 4 && shape[0] === 1 && shape[3] === 3;
}

/**
 * From a picture to a tensor of this contract, which is one, and back.
 * @param {TensorSpec} spec
 */
export const converterOf = (spec) => (needsConversion(spec) ? new PictureConverter(spec) : new PixelCopier(spec));

/**
 * From a picture, (height, width, 3) bytes of RGB, to a float32 NCHW tensor and back, as an app does it around every
 * inference.
 */
export class PictureConverter {
  /** @param {TensorSpec} spec */
  constructor(spec) {
    const [low, high] = spec.value_range ?? [0, 1];
    this.pixels = spec.shape[2] * spec.shape[3];
    this.low = low;
    this.levels = 255 / (high - low);
    const step = Math.fround((high - low) / 255);
    this.values = Float32Array.from({ length: 256 }, (_, level) => Math.fround(level * step) + low);
  }

  /**
   * Fill `tensor` with the values of `picture`, between black and white.
   * @param {Uint8Array | Uint8ClampedArray} picture
   * @param {Float32Array} tensor
   * @param {number} [channels] bytes of each pixel: 3, or 4 as a canvas has them
   */
  toTensor(picture, tensor, channels = 3) {
    const { pixels, values } = this;
    for (let pixel = 0, from = 0; pixel < pixels; pixel += 1, from += channels) {
      tensor[pixel] = values[picture[from]];
      tensor[pixel + pixels] = values[picture[from + 1]];
      tensor[pixel + 2 * pixels] = values[picture[from + 2]];
    }
  }

  /**
   * Fill `picture` with the bytes of `tensor`; values outside of black and white are clipped.
   * @param {Float32Array} tensor
   * @param {Uint8Array | Uint8ClampedArray} picture
   * @param {number} [channels] as in `toTensor`
   */
  toPicture(tensor, picture, channels = 3) {
    const { pixels, low, levels } = this;
    for (let channel = 0; channel < 3; channel += 1) {
      for (let pixel = 0, at = channel * pixels, to = channel; pixel < pixels; pixel += 1, at += 1, to += channels) {
        const level = (tensor[at] - low) * levels + 0.5;
        picture[to] = level < 0 ? 0 : level > 255 ? 255 : level;
      }
    }
  }
}

/** As PictureConverter, for tensors that are the bytes of the picture. */
class PixelCopier {
  /** @param {TensorSpec} spec */
  constructor(spec) {
    this.pixels = spec.shape[1] * spec.shape[2];
  }

  /**
   * @param {Uint8Array | Uint8ClampedArray} picture
   * @param {any} tensor
   * @param {number} [channels]
   */
  toTensor(picture, tensor, channels = 3) {
    copyColours(picture, channels, tensor, 3, this.pixels);
  }

  /**
   * @param {any} tensor
   * @param {Uint8Array | Uint8ClampedArray} picture
   * @param {number} [channels]
   */
  toPicture(tensor, picture, channels = 3) {
    copyColours(tensor, 3, picture, channels, this.pixels);
  }
}

/**
 * @param {Uint8Array | Uint8ClampedArray} source
 * @param {number} fromStep bytes of each pixel there
 * @param {Uint8Array | Uint8ClampedArray} target
 * @param {number} toStep
 * @param {number} pixels
 */
function copyColours(source, fromStep, target, toStep, pixels) {
  for (let pixel = 0, from = 0, to = 0; pixel < pixels; pixel += 1, from += fromStep, to += toStep) {
    target[to] = source[from];
    target[to + 1] = source[from + 1];
    target[to + 2] = source[from + 2];
  }
}
