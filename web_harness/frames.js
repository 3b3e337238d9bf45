// Frames of a camera: how many were seen, and which part of each.

const RATE_OVER_MS = 2000;

/** Counts frames of the camera that were shown, and those that nobody saw. */
export class FrameCount {
  dropped = 0;
  #last = 0;
  /** @type {number[]} when each was shown */
  #shown = [];

  /**
   * The camera gave a frame.
   * @param {boolean} taken whether it will be shown
   * @param {number} [presented] how many the browser had of it so far, where it counts them: some pass by the page
   */
  came(taken, presented = this.#last + 1) {
    const passedBy = this.#last ? Math.max(0, presented - this.#last - 1) : 0;
    this.#last = presented;
    this.dropped += passedBy + (taken ? 0 : 1);
  }

  /** A frame was shown. @param {number} now milliseconds */
  shown(now) {
    this.#shown.push(now);
    // Of a slow model the last two, however long ago.
    while (this.#shown.length > 2 && this.#shown[0] < now - RATE_OVER_MS) this.#shown.shift();
  }

  /** Frames shown a second, lately; null before there are two. */
  get rate() {
    const [first, last] = [this.#shown[0], this.#shown[this.#shown.length - 1]];
    return last > first ? ((this.#shown.length - 1) * 1000) / (last - first) : null;
  }
}

/**
 * The middle of a picture, as large as can be, in the shape of another.
 * @param {import('./types').Size} picture
 * @param {import('./types').Size} shape
 */
export function middleOf({ width, height }, shape) {
  const scale = Math.min(width / shape.width, height / shape.height);
  const [across, down] = [shape.width * scale, shape.height * scale];
  return { x: (width - across) / 2, y: (height - down) / 2, width: across, height: down };
}
