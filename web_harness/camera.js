// The camera through a model: frames go to a worker one at a time, and what it draws is shown. What comes while it draws
// is dropped, as every app that keeps up with a camera has to.
import { stayAwake } from './browser.js';
import { FrameCount, middleOf } from './frames.js';
import { randomHex } from './kept.js';
import { whenGone } from './lifeline.js';
import { moduleUrl, runtimeUrl } from './modules.js';

/** @import { FromWorker, Joined, Provider, Size, ToWorker } from './types' */
/** @import { Choice } from './shelf.js' */

/** @typedef {'user' | 'environment'} Facing */

const REFUSALS = /** @type {Record<string, string>} */ ({
  NotAllowedError: 'The camera is not allowed here. Allow it for this page in the browser\'s settings, then try again.',
  NotFoundError: 'This device has no camera.',
  NotReadableError: 'Another app holds the camera. Close it, then try again.',
});

/** It cannot go on; its message is for people, and says what to do. */
export class CameraError extends Error {}

/** Whether this page may ask for a camera at all. */
export const mayAsk = () => Boolean(navigator.mediaDevices?.getUserMedia);

/** One camera and one model, from `open` until `close`. */
export class LiveCamera {
  #ended = new AbortController();
  #count = new FrameCount();
  #video = document.createElement('video');
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {Worker | null} */
  #worker = null;
  #busy = false;
  #taken = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

  /**
   * @param {HTMLCanvasElement} canvas where it is shown
   * @param {Joined['runtime']} runtime
   * @param {(problem: CameraError) => void} fail told once where it cannot go on
   */
  constructor(canvas, runtime, fail) {
    this.canvas = canvas;
    this.runtime = runtime;
    this.fail = fail;
  }

  get rate() {
    return this.#count.rate;
  }

  get dropped() {
    return this.#count.dropped;
  }

  /**
   * @param {Choice} choice
   * @param {Facing} facing which camera, where there are two
   */
  async open(choice, facing) {
    const { signal } = this.#ended;
    try {
      // Asked one after the other: a person who is asked for the camera should not wait for a model first.
      this.#stream = await cameraOf(facing);
      if (signal.aborted) return this.close();
      this.#stream.getVideoTracks()[0].addEventListener('ended', () => this.#fail('The camera has stopped. Try again.'));
      this.#video.muted = this.#video.playsInline = true;
      this.#video.srcObject = this.#stream;
      await this.#video.play();
      const awake = await stayAwake();
      signal.addEventListener('abort', () => awake?.release());
      if (signal.aborted) return this.close();
      await this.#begin(choice);
    } catch (problem) {
      if (problem instanceof CameraError) this.#fail(problem.message);
      else if (!signal.aborted) this.#fail(`The camera failed: ${problem instanceof Error ? problem.message : problem}`);
    }
    return undefined;
  }

  /** The camera is off after this, and the model gone. */
  close() {
    this.#ended.abort();
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#video.srcObject = null;
    this.#worker?.terminate();
    // What stands still looks like a camera that hangs.
    this.canvas.getContext('2d')?.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  /** @param {Choice} choice */
  async #begin({ work }) {
    const { signal } = this.#ended;
    const provider = /** @type {Provider} */ (work.job.provider === 'webgpu' ? 'webgpu' : 'wasm');
    const [library, loader, wasm] = await Promise.all(this.runtime.files[provider].map(runtimeUrl));
    const url = await moduleUrl('worker.js');
    if (signal.aborted) return;
    const name = `pocketgan-camera-${randomHex(8)}`;
    const worker = new Worker(url, { type: 'module', name });
    this.#worker = worker;
    const ended = (why = '') => this.#fail(`The model ended: ${why || 'this device may lack the memory'}. Try another one.`);
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      ended(event.message);
    });
    whenGone(worker, name, signal, ended);
    worker.addEventListener('message', (/** @type {MessageEvent<FromWorker>} */ { data }) => {
      if (signal.aborted) return;
      if (data.kind === 'failed') this.#fail(`The model failed: ${data.message}. Try another one.`);
      else if (data.kind === 'ready') this.#watch(worker, data.input, data.output);
      else if (data.kind === 'drawn') this.#show(data.pixels);
    });
    const asked = { kind: 'live', provider, threads: work.job.threads, urls: { library, loader, wasm }, work };
    worker.postMessage(/** @type {ToWorker} */ (asked));
  }

  /**
   * @param {Worker} worker
   * @param {Size} input
   * @param {Size} output
   */
  #watch(worker, input, output) {
    Object.assign(this.canvas, output);
    const context = this.#taken;
    if (!context) return this.#fail('This browser draws no pictures.');
    Object.assign(context.canvas, input);
    // Who looks at oneself expects a mirror; a camera that does not say where it looks is a computer's.
    const isMirrored = this.#stream?.getVideoTracks()[0].getSettings().facingMode !== 'environment';
    if (isMirrored) context.setTransform(-1, 0, 0, 1, input.width, 0);
    eachFrame(this.#video, this.#ended.signal, (presented) => {
      this.#count.came(!this.#busy, presented);
      if (this.#busy) return;
      this.#busy = true;
      const part = middleOf({ width: this.#video.videoWidth, height: this.#video.videoHeight }, input);
      context.drawImage(this.#video, part.x, part.y, part.width, part.height, 0, 0, input.width, input.height);
      const { data: pixels } = context.getImageData(0, 0, input.width, input.height);
      worker.postMessage({ kind: 'picture', pixels }, [pixels.buffer]);
    });
    return undefined;
  }

  /** @param {Uint8ClampedArray<ArrayBuffer>} pixels */
  #show(pixels) {
    this.#busy = false;
    const { width, height } = this.canvas;
    this.canvas.getContext('2d')?.putImageData(new ImageData(pixels, width, height), 0, 0);
    this.#count.shown(performance.now());
  }

  /** @param {string} words */
  #fail(words) {
    if (this.#ended.signal.aborted) return;
    this.close();
    this.fail(new CameraError(words));
  }
}

/** @param {Facing} facing */
async function cameraOf(facing) {
  if (!mayAsk()) throw new CameraError('A browser gives its camera to pages over https alone. Open the https address.');
  try {
    const video = { facingMode: { ideal: facing }, width: { ideal: 1280 }, height: { ideal: 720 } };
    return await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (problem) {
    const { name, message } = /** @type {Error} */ (problem);
    throw new CameraError(REFUSALS[name] ?? `The camera cannot be had: ${message || name}`);
  }
}

/** How many cameras there are; names need a permission, numbers do not. */
export async function cameras() {
  const all = await navigator.mediaDevices?.enumerateDevices?.() ?? [];
  return all.filter((one) => one.kind === 'videoinput').length;
}

/**
 * Calls `came` for each frame of a video until the signal.
 * @param {HTMLVideoElement} video
 * @param {AbortSignal} signal
 * @param {(presented?: number) => void} came with how many the browser had so far, where it tells
 */
function eachFrame(video, signal, came) {
  let time = -1;
  /**
   * @param {number} _now
   * @param {VideoFrameCallbackMetadata} [told]
   */
  const look = (_now, told) => {
    if (signal.aborted) return;
    next();
    // Where only the screen's own frames are told, a new time is a new frame.
    if (!told && video.currentTime === time) return;
    time = video.currentTime;
    if (video.videoWidth) came(told?.presentedFrames);
  };
  const next = () => ('requestVideoFrameCallback' in video ? video.requestVideoFrameCallback(look) : requestAnimationFrame(look));
  next();
}
