import { stayAwake } from './browser.js';
import { fileOf } from './files.js';
import { marker } from './kept.js';
import { moduleUrl, runtimeUrl } from './modules.js';
import { drawnName } from './naming.js';
import { RefusedByHost, persistently } from './send.js';
import { HiddenError, StoppedError, WorkerDiedError, measureInWorker } from './workers.js';

/** @import { About, Circumstances, FromWorker, Job, Joined, Manifest, Order, Provider, Result, Session, Work } from './types' */
/** @import { Host, Outbox } from './send.js' */
/** @import { Kept } from './kept.js' */

/**
 * What a page tells of its session, for whoever shows it.
 * @typedef {object} Told
 * @property {'files' | 'measuring' | 'hidden' | 'sending' | 'result'} step
 * @property {string} [detail] what is measured
 * @property {string} [at] loading, comparing, warming up, measuring
 * @property {number} [done] of `total`: bytes of files, frames (or seconds) of a Job
 * @property {number} [total]
 * @property {number} [share] of the whole run that is done
 * @property {Job} [job]
 * @property {Result} [result]
 * @property {Work} [work] what the result is of
 * @property {number} [answered] Jobs that are done, of `jobs`
 * @property {number} [jobs]
 * @property {number} [silent] seconds for which nothing was heard of it
 */

/** One run of a session: what the host asked, carried out group by group, each Result sent as it comes. */
export class SessionRun {
  #stop = new AbortController();
  #progressed = true;
  /** Whether nothing can go on for now, and all is well. */
  #waits = false;
  #beat = '';
  /** @type {Map<Job, number>} of the group under way: the share of each Job that is done */
  #shares = new Map();
  /** @type {Told | null} of the group under way */
  #told = null;

  /**
   * @param {Host} host
   * @param {Kept} kept
   * @param {Outbox} outbox
   * @param {Joined} joined
   * @param {About} about
   * @param {Order} order
   * @param {(told: Told) => void} tell
   */
  constructor(host, kept, outbox, joined, about, order, tell) {
    this.host = host;
    this.kept = kept;
    this.outbox = outbox;
    this.joined = joined;
    this.about = about;
    this.run = order.run;
    this.session = /** @type {Session} */ (order.session);
    this.files = order.files ?? {};
    this.tell = tell;
    this.groups = 0;
  }

  /** Measure no more. */
  stop() {
    this.#stop.abort();
  }

  /** Until everything is measured and sent, or the host wants no more. */
  async carryOut() {
    const { session } = this;
    const beats = setInterval(() => this.#tellHost(), Math.max(500, session.beat_interval_s * 1000));
    const hidden = () => marker.hide(document.visibilityState !== 'visible');
    document.addEventListener('visibilitychange', hidden);
    try {
      const kept = this.#kept();
      const answered = kept.map((result) => JSON.stringify(result.job));
      this.jobs = session.groups.reduce((sum, group) => sum + group.jobs.length, 0);
      this.done = answered.length;
      await this.#fetchFiles();
      await this.#tellResults(kept);
      for (const { jobs } of session.groups) {
        const missing = jobs.filter((job) => !takeOut(answered, job));
        if (missing.length) await this.#measureOnceVisible(missing);
      }
      await this.#write({ record: 'end', error: null });
    } catch (problem) {
      if (!(problem instanceof StoppedError)) throw problem;
      await this.#write({ record: 'end', error: 'cancelled' });
    } finally {
      clearInterval(beats);
      document.removeEventListener('visibilitychange', hidden);
      marker.end();
    }
    this.tell({ step: 'sending' });
    await this.outbox.flush();
  }

  /** The Results among the kept lines. @returns {Result[]} */
  #kept() {
    return this.kept.lines.map((line) => JSON.parse(line)).filter((one) => one.record === 'result');
  }

  /** A network that is gone meanwhile comes back. */
  async #fetchFiles() {
    const wanted = Object.entries(this.files);
    const total = wanted.reduce((sum, [, file]) => sum + file.bytes, 0);
    const { runtime } = this.joined;
    const providers = [...new Set(this.session.groups.map((group) => providerOf(group.jobs[0])))];
    const { tell } = this.outbox;
    this.#wait('fetches models');
    // Beside the models: who waits for both waits for the longer one.
    const modules = providers.flatMap((provider) => runtime.files[provider]);
    const around = persistently(() => Promise.all([moduleUrl('worker.js'), ...modules.map(runtimeUrl)]), tell);
    around.catch(() => {});
    let done = 0;
    for (const [, file] of wanted) {
      this.#mustGoOn();
      const came = (/** @type {number} */ bytes) => this.tell({ step: 'files', done: done + bytes, total });
      came(0);
      await persistently(() => fileOf(file.sha256, came), tell);
      done += file.bytes;
    }
    await around;
    this.#waits = false;
  }

  /** @param {string} detail what nothing can go on for, so that the host does not take it for hung */
  #wait(detail) {
    this.#waits = true;
    this.#beat = beatOf(detail, 0);
  }

  /**
   * What was begun while the page was in front and did not end so is begun again.
   * @param {Job[]} jobs
   */
  async #measureOnceVisible(jobs) {
    for (;;) {
      await this.#visible();
      this.#mustGoOn();
      try {
        return await this.#measure(jobs);
      } catch (problem) {
        if (problem instanceof HiddenError) this.kept.begunAgain += 1;
        else if (problem instanceof WorkerDiedError) return await this.#afterDeath(jobs, problem);
        else throw problem;
      }
    }
  }

  /**
   * A model that ends its worker takes the others of its group along: each is tried alone.
   * @param {Job[]} jobs
   * @param {WorkerDiedError} problem
   */
  async #afterDeath(jobs, problem) {
    if (jobs.length > 1) {
      for (const job of jobs) await this.#measureOnceVisible([job]);
      return;
    }
    const [work] = await this.#work(jobs);
    await this.#keep([failed(work, this.#circumstances(jobs[0]), `${problem.message} while it measured this`)]);
  }

  async #visible() {
    if (document.visibilityState === 'visible') return;
    this.tell({ step: 'hidden' });
    this.#wait('its page is hidden');
    await new Promise((resolve) => {
      const look = () => {
        if (document.visibilityState !== 'visible' && !this.#stop.signal.aborted) return;
        document.removeEventListener('visibilitychange', look);
        resolve(undefined);
      };
      document.addEventListener('visibilitychange', look);
      this.#stop.signal.addEventListener('abort', look);
    });
    this.#waits = false;
  }

  /** @param {Job[]} jobs */
  async #measure(jobs) {
    const work = await this.#work(jobs);
    const [{ threads }] = jobs;
    const provider = providerOf(jobs[0]);
    const [library, loader, wasm] = await Promise.all(this.joined.runtime.files[provider].map(runtimeUrl));
    this.groups += 1;
    const about = this.#circumstances(jobs[0]);
    marker.begin(drawnName(work[0].manifest, jobs[0]));
    this.#shares.clear();
    this.#told = null;
    const awake = stayAwake();
    const urls = { library, loader, wasm };
    const mostSamples = this.joined.most_samples;
    const asked = { kind: /** @type {const} */ ('measure'), provider, threads, urls, work, about, mostSamples };
    try {
      const results = await measureInWorker(asked, this.#stop.signal, (told) => {
        this.#progressed = true;
        if (told.kind === 'progress') this.#progress(work[told.number].job, told);
      }, (silent) => this.#told && this.tell({ ...this.#told, silent }));
      await this.#keep(results);
      this.#shares.clear();
      this.kept.begunAgain = 0;
    } finally {
      marker.end();
      await (await awake)?.release();
    }
  }

  /**
   * @param {Job} job
   * @param {Extract<FromWorker, { kind: 'progress' }>} told
   */
  #progress(job, { detail, done, step }) {
    this.#beat = beatOf(detail, done);
    const total = job.iterations ?? job.duration_s ?? 1;
    this.#shares.set(job, step === 'measuring' ? Math.min(1, done / total) : 0);
    const shares = [...this.#shares.values()].reduce((sum, one) => sum + one, 0);
    const share = ((this.done ?? 0) + shares) / (this.jobs ?? 1);
    this.#told = { step: 'measuring', detail, at: step, done, total, share, job, answered: this.done, jobs: this.jobs };
    this.tell(this.#told);
  }

  /** @param {Result[]} results */
  async #keep(results) {
    for (const result of results) {
      await this.#write({ record: 'result', ...result });
      this.done = (this.done ?? 0) + 1;
    }
    await this.#tellResults(results);
  }

  /** @param {Result[]} results */
  async #tellResults(results) {
    const works = await this.#work(results.map((one) => one.job));
    results.forEach((result, at) => this.tell({ step: 'result', result, work: works[at] }));
  }

  /** @param {object} line */
  async #write(line) {
    await this.kept.add(JSON.stringify(line));
    // Sent beside the work: a network that is gone holds nothing up.
    this.outbox.flush().catch((problem) => {
      if (problem instanceof RefusedByHost) this.stop();
    });
  }

  async #tellHost() {
    const line = this.#progressed || this.#waits ? this.#beat : '';
    this.#progressed = false;
    try {
      const order = await this.host.beat(this.run, line);
      if (order.state !== 'measure' || order.run !== this.run) this.stop();
    } catch (problem) {
      if (problem instanceof RefusedByHost) this.stop();
    }
  }

  /**
   * @param {Job[]} jobs
   * @returns {Promise<Work[]>}
   */
  async #work(jobs) {
    return Promise.all(jobs.map(async (job) => {
      const folder = `bundles/${job.bundle}/`;
      const there = Object.entries(this.files).filter(([path]) => path.startsWith(folder));
      const blobs = await Promise.all(there.map(async ([path, file]) => (
        /** @type {[string, Blob]} */ ([path.slice(folder.length), await fileOf(file.sha256)])
      )));
      const found = Object.fromEntries(blobs);
      const manifest = /** @type {Manifest} */ (JSON.parse(await found['manifest.json'].text()));
      return { job, manifest, files: found };
    }));
  }

  /**
   * @param {Job} job
   * @returns {Circumstances}
   */
  #circumstances(job) {
    const { about, joined, session } = this;
    return {
      session: session.name,
      process: `${this.host.page}-${this.groups}`,
      device: {
        name: joined.name,
        model: about.model,
        kind: 'web',
        os: about.os,
        os_build: '',
        cpu: about.cpu,
        cores: about.cores,
        memory_bytes: about.memory_bytes,
        simulated: providerOf(job) === 'webgpu' && about.simulated_gpu,
      },
      page: { browser: about.browser, isolated: about.isolated, gpu: about.gpu, begun_again: this.kept.begunAgain },
      providers: about.providers,
    };
  }

  #mustGoOn() {
    if (this.#stop.signal.aborted) throw new StoppedError();
  }
}

/**
 * A sign of life for the host.
 * @param {string} detail
 * @param {number} done
 */
function beatOf(detail, done) {
  const at = Math.round(performance.now() * 1e6);
  return JSON.stringify({ record: 'beat', at_ns: at, detail: detail.slice(0, 200), done });
}

/** @param {Job} job */
const providerOf = (job) => /** @type {Provider} */ (job.provider === 'webgpu' ? 'webgpu' : 'wasm');

/**
 * @param {string[]} answered
 * @param {Job} job
 */
function takeOut(answered, job) {
  const at = answered.indexOf(JSON.stringify(job));
  if (at >= 0) answered.splice(at, 1);
  return at >= 0;
}

/**
 * The Result of a Job that gave nothing.
 * @param {Work} work
 * @param {Circumstances} circumstances
 * @param {string} error
 * @returns {Result}
 */
function failed({ job, manifest }, { session, process, device, page }, error) {
  const entry = manifest.entries.find((one) => one.id === job.entry);
  return {
    schema_version: '1.3',
    session,
    job,
    bundle_name: manifest.name,
    device,
    runtime: entry?.runtime ?? '',
    runtime_version: '',
    app_build: 'release',
    started_at: new Date().toISOString(),
    process,
    frames: [],
    page: { ...page, timer_step_ns: 0, threads: job.threads },
    errors: [error],
  };
}
