// Order of turns and frames of rounds; bench/schema/conformance/{turns,rounds}.json pin both.

/**
 * Order of the models in each round: rotated by one every second round, and back to front in between, so that each model
 * stands equally often early and late, before and after each other.
 * @param {number} models
 * @param {number} rounds
 * @returns {number[][]}
 */
export function turns(models, rounds) {
  return Array.from({ length: rounds }, (_, round) => {
    const start = Math.floor(round / 2) % models;
    const order = Array.from({ length: models }, (_, place) => (start + place) % models);
    return round % 2 === 0 ? order : order.reverse();
  });
}

/**
 * How many frames each round has: as equal as can be, the first ones one more; never a round without any.
 * @param {number} iterations
 * @param {number} rounds
 * @returns {number[]}
 */
export function framesOfRounds(iterations, rounds) {
  const count = Math.min(rounds, iterations);
  const more = iterations % count;
  return Array.from({ length: count }, (_, round) => Math.floor(iterations / count) + (round < more ? 1 : 0));
}
