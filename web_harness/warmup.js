/** @import { Warmup, WarmedUp } from './types' */

/**
 * Run frames until the rule is met; bench/schema/conformance/warmup.json pins it.
 * @param {Warmup} rule
 * @param {() => Promise<number>} frame runs one frame and returns its nanoseconds
 * @param {() => number} clock nanoseconds now
 * @returns {Promise<WarmedUp>}
 */
export async function warmUp(rule, frame, clock) {
  const started = clock();
  const end = started + Math.trunc(rule.timeout_s * 1e9);
  /** @type {number[]} */
  const times = [];
  let steady = rule.timeout_s <= 0;
  while (times.length < rule.iterations || !(steady || clock() >= end)) {
    times.push(await frame());
    // Looked at once a window: with every frame anew, chance would find two windows alike.
    if (times.length % rule.window === 0 && times.length >= 2 * rule.window) {
      const before = median(times.slice(-2 * rule.window, -rule.window));
      const last = median(times.slice(-rule.window));
      steady ||= Math.abs(before - last) <= rule.tolerance * last;
    }
  }
  return { iterations: times.length, duration_ns: clock() - started, steady };
}

/** @param {number[]} times */
export function median(times) {
  const sorted = [...times].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
