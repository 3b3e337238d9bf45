import { TimedModel, lengthOf } from './model.js';
import { WrongOutputError } from './parity.js';
import { DEFAULT_FLOOR_DB, planModel } from './plan.js';
import { RefusedError } from './refused.js';
import { framesOfRounds, turns } from './turns.js';
import { warmUp } from './warmup.js';

/** @import { Circumstances, Engine, Frame, Parity, Result, State, WarmedUp, Work } from './types' */

export const SCHEMA_VERSION = '1.3';
const NS_PER_S = 1e9;
const LOOK_EVERY_NS = NS_PER_S;

/**
 * What a measurement needs of the world around it.
 * @typedef {object} Surroundings
 * @property {Engine} engine
 * @property {() => number} clock nanoseconds now, whole ones
 * @property {() => Promise<State>} look the state of the device
 * @property {(number: number, done: number, step: string) => void} tell what the Job of that number is at, and how many
 *   frames (of a sustained one: seconds) are done
 * @property {number} timerStepNs
 * @property {number} mostSamples frames, and states of the device, that the host takes of one Job
 */

/**
 * Measures a group of Jobs whose models take turns. What goes wrong with one model is in the errors of its Result.
 * @param {Work[]} group
 * @param {Circumstances} about
 * @param {Surroundings} around
 * @returns {Promise<Result[]>} in the order of the group
 */
export async function measureGroup(group, about, around) {
  const drafts = group.map((work, number) => new Draft(work, number, about, around));
  for (const draft of drafts) await draft.attempt(() => draft.prepare());
  const ready = drafts.filter((draft) => draft.isReady);
  for (const draft of ready) await draft.attempt(() => draft.warmUp());
  const warm = ready.filter((draft) => draft.isReady);
  if (group[0].job.mode === 'sustained') for (const draft of warm) await draft.attempt(() => draft.sustain());
  else await takeTurns(warm);
  for (const draft of warm) await draft.attempt(() => draft.look());
  for (const draft of drafts) await draft.release();
  return drafts.map((draft) => draft.result());
}

/**
 * The models take turns, round by round, as the Jobs of one group ask alike.
 * @param {Draft[]} drafts
 */
async function takeTurns(drafts) {
  if (!drafts.length) return;
  const { iterations, rounds } = drafts[0].job;
  const counts = framesOfRounds(iterations ?? 1, rounds);
  for (const [round, order] of turns(drafts.length, counts.length).entries()) {
    for (const draft of order.map((place) => drafts[place]).filter((one) => one.isReady)) {
      await draft.attempt(async () => {
        // The other model's turn has evicted this one's weights; an app's would be there.
        if (drafts.length > 1) await draft.model.frame(round);
        await draft.turn(counts[round], round);
        if (round === counts.length - 1) draft.compareAgain();
      });
    }
  }
}

/** A Result in the making. */
class Draft {
  startedAt = new Date();
  /** @type {string[]} */
  errors = [];
  /** @type {Frame[]} */
  frames = [];
  /** @type {(State & { at_ns: number })[]} */
  conditions = [];
  /** @type {number[]} */
  coldLoadNs = [];
  /** @type {number[]} */
  warmLoadNs = [];
  /** @type {number[]} */
  firstInferenceNs = [];
  /** @type {Parity | null} */
  parity = null;
  /** @type {Parity | null} */
  parityAfter = null;
  /** @type {WarmedUp | null} */
  warmup = null;
  /** @type {TimedModel | null} */
  loaded = null;

  /**
   * @param {Work} work
   * @param {number} number of its Job in the group
   * @param {Circumstances} about
   * @param {Surroundings} around
   */
  constructor(work, number, about, around) {
    this.work = work;
    this.job = work.job;
    this.number = number;
    this.about = about;
    this.around = around;
  }

  get isReady() {
    return this.errors.length === 0;
  }

  get model() {
    if (!this.loaded) throw new Error('no model is loaded');
    return this.loaded;
  }

  /**
   * What a runtime throws belongs to this model, not to the others; frames that came before it are not to be trusted.
   * @param {() => unknown} work
   */
  async attempt(work) {
    try {
      await work();
    } catch (problem) {
      this.frames = [];
      this.errors.push(told(problem));
    }
  }

  /** Load, first inference, parity before any clock, and a second load. */
  async prepare() {
    const { engine, clock } = this.around;
    const plan = await planModel(this.work);
    this.tell(0, 'loading');
    await this.look();
    const before = clock();
    const model = await engine.load(plan);
    const loaded = clock();
    this.loaded = new TimedModel(plan, model, clock);
    const begun = clock();
    await this.loaded.run();
    const ran = clock();
    const counts = this.job.cold_repeats > 0;
    // A worker is cold for the first of its models alone: the others find the runtime warm, as an app's second would.
    if (counts) {
      this.coldLoadNs.push(loaded - before);
      this.firstInferenceNs.push(ran - begun);
    }
    this.tell(0, 'comparing');
    this.parity = this.loaded.parity();
    mustReach(plan.floorDb, this.parity, 'from the golden output');
    if (!counts) return;
    const again = clock();
    const second = await engine.load(plan);
    this.warmLoadNs.push(clock() - again);
    await second.release();
  }

  async warmUp() {
    const { clock } = this.around;
    let done = 0;
    this.warmup = await warmUp(this.job.warmup, async () => {
      this.tell(done, 'warming up');
      done += 1;
      return lengthOf(await this.model.frame(0));
    }, clock);
  }

  /**
   * @param {number} count
   * @param {number} round
   */
  async turn(count, round) {
    for (let left = count; left > 0; left -= 1) {
      this.frames.push(await this.model.frame(round));
      this.tell(this.frames.length, 'measuring');
    }
  }

  /** Frame after frame for so long; the device's state about once a second, between frames. */
  async sustain() {
    const { clock, mostSamples } = this.around;
    const length = (this.job.duration_s ?? 0) * NS_PER_S;
    const started = clock();
    const end = started + length;
    let lookAgain = started + LOOK_EVERY_NS;
    for (let now = started; now < end; now = clock()) {
      this.frames.push(await this.model.frame(0));
      this.tell(Math.floor((now - started) / NS_PER_S), 'measuring');
      if (now >= lookAgain) {
        await this.look();
        lookAgain = clock() + LOOK_EVERY_NS;
      }
      // One more look comes at the end.
      if (this.frames.length + this.conditions.length >= mostSamples) {
        const seconds = (clock() - started) / NS_PER_S;
        throw new RefusedError(`${mostSamples} frames, all that a page may send, came in ${seconds.toFixed(1)} s: `
          + `ask for --seconds ${Math.max(1, Math.floor(seconds * 0.9))}`);
      }
    }
    // On a busy device a frame may begin long after it was time for it, and past the end.
    const { frames } = this;
    while (frames[frames.length - 1].start_ns - frames[0].start_ns > length) frames.pop();
    this.compareAgain();
  }

  /**
   * Finds work that was only queued, or that went wrong when the device got warm, and frames that the clock does not see.
   */
  compareAgain() {
    if (this.frames.some((frame) => frame.inference_ns === 0)) {
      const step = this.around.timerStepNs / 1000;
      throw new RefusedError(`a frame is shorter than a step of this browser's clock, ${step} µs: too small a model for it`);
    }
    this.parityAfter = this.model.parity();
    // A timed frame begins with a picture of 256 levels, the golden input does not: more cannot be asked.
    const floorDb = Math.min(this.model.plan.floorDb, DEFAULT_FLOOR_DB);
    mustReach(floorDb, this.parityAfter, 'from the golden output after the last frame');
  }

  async look() {
    const state = await this.around.look();
    this.conditions.push({ at_ns: this.around.clock(), ...state });
  }

  async release() {
    try {
      await this.loaded?.model.release();
    } catch {
      // It is done with; the worker ends soon.
    }
  }

  /**
   * @param {number} done
   * @param {string} step
   */
  tell(done, step) {
    this.around.tell(this.number, done, step);
  }

  /** @returns {Result} */
  result() {
    const { job, about, around } = this;
    const { manifest } = this.work;
    const entry = manifest.entries.find((one) => one.id === job.entry);
    return {
      schema_version: SCHEMA_VERSION,
      session: about.session,
      job,
      bundle_name: manifest.name,
      device: about.device,
      runtime: entry?.runtime ?? '',
      runtime_version: around.engine.version,
      app_build: 'release',
      started_at: this.startedAt.toISOString(),
      process: about.process,
      warmup: this.warmup,
      cold_load_ns: this.coldLoadNs,
      warm_load_ns: this.warmLoadNs,
      first_inference_ns: this.firstInferenceNs,
      frames: this.frames,
      conditions: this.conditions,
      parity: this.parity,
      parity_after: this.parityAfter,
      placement: { requested: job.provider, registered: about.providers },
      page: { ...about.page, timer_step_ns: around.timerStepNs, threads: job.threads },
      errors: this.errors,
    };
  }
}

/**
 * @param {number} floorDb
 * @param {Parity} parity
 * @param {string} from
 */
export function mustReach(floorDb, { psnr_db: db }, from) {
  if (db === null || db >= floorDb) return;
  throw new WrongOutputError(`wrong output: ${db.toFixed(1)} dB ${from}, ${floorDb.toFixed(1)} dB is the floor`);
}

/** @param {unknown} problem */
function told(problem) {
  // A runtime may print a whole graph; the host takes 500 letters.
  const line = String(problem instanceof Error ? problem.message : problem).trim().split('\n')[0].slice(0, 1000);
  const ours = problem instanceof WrongOutputError || problem instanceof RefusedError;
  return ours ? line : `the runtime refused the model: ${line}`;
}
