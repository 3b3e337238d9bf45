// The screen of the live camera: a model and an effect to pick, what comes of it, and how fast.
import { LiveCamera, cameras } from './camera.js';

/** @import { Joined } from './types' */
/** @import { Choice } from './shelf.js' */
/** @import { Facing } from './camera.js' */

const TELL_EVERY_MS = 500;

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 */
const element = (id) => /** @type {T} */ (document.getElementById(id));

/** Opened by a person, closed by one; while the page is hidden, neither camera nor model runs. */
export class CameraScreen {
  /** @type {LiveCamera | null} */
  #camera = null;
  /** @type {Facing} */
  #facing = 'environment';
  #open = false;

  /**
   * @param {Choice[]} choices some
   * @param {Joined['runtime']} runtime
   */
  constructor(choices, runtime) {
    this.choices = choices;
    this.runtime = runtime;
    this.model = /** @type {HTMLSelectElement} */ (element('which'));
    this.concept = /** @type {HTMLSelectElement} */ (element('concept'));
    const models = [...new Set(choices.map((choice) => modelKey(choice)))];
    this.model.replaceChildren(...models.map((key) => {
      const { model, work } = /** @type {Choice} */ (choices.find((choice) => modelKey(choice) === key));
      const twins = models.filter((one) => nameIn(one) === model).length;
      // Two bundles of one name are told apart by how their digests begin.
      return new Option(twins > 1 ? `${model} (${work.job.bundle.slice(0, 4)})` : model, key);
    }));
    this.model.onchange = () => {
      this.#offerConcepts();
      this.#start();
    };
    this.concept.onchange = () => this.#start();
    element('turn').onclick = () => {
      this.#facing = this.#facing === 'user' ? 'environment' : 'user';
      this.#start();
    };
    element('retry').onclick = () => this.#start();
    element('close').onclick = () => this.close();
    document.addEventListener('visibilitychange', () => this.#seen());
    setInterval(() => this.#tell(), TELL_EVERY_MS);
    this.#offerConcepts();
  }

  open() {
    this.#open = true;
    this.#swap('live', 'main');
    element('live-title').focus();
    this.#start();
  }

  close() {
    this.#open = false;
    this.#stop();
    this.#swap('main', 'live');
    element('see').focus();
  }

  /**
   * @param {string} shown
   * @param {string} hidden
   */
  #swap(shown, hidden) {
    element(shown).hidden = false;
    element(hidden).hidden = true;
    scrollTo(0, 0);
  }

  #offerConcepts() {
    const concepts = this.#ofModel().flatMap(({ concept }) => concept ?? []);
    this.concept.replaceChildren(...concepts.map((name) => new Option(name)));
    element('of-pack').hidden = concepts.length < 1;
  }

  /** The choices of the model that is picked. */
  #ofModel() {
    return this.choices.filter((choice) => modelKey(choice) === this.model.value);
  }

  #start() {
    this.#stop();
    this.#say('Asking for the camera and loading the model…');
    element('retry').hidden = true;
    const picked = this.#ofModel().find(({ concept }) => concept === null || concept === this.concept.value);
    if (!picked) return;
    const canvas = /** @type {HTMLCanvasElement} */ (element('picture'));
    const camera = new LiveCamera(canvas, this.runtime, (problem) => {
      if (this.#camera !== camera) return;
      this.#say(problem.message);
      element('retry').hidden = false;
    });
    this.#camera = camera;
    camera.open(picked, this.#facing).then(cameras).then((number) => { element('turn').hidden = number < 2; });
    this.#tell();
  }

  #stop() {
    this.#camera?.close();
    this.#camera = null;
  }

  /** Nobody looks at a hidden page. */
  #seen() {
    if (!this.#open) return;
    if (document.visibilityState === 'visible') this.#start();
    else this.#stop();
  }

  #tell() {
    const camera = this.#camera;
    if (!camera) return;
    const { rate, dropped } = camera;
    element('fps').textContent = rate === null ? '–' : rate.toFixed(1);
    element('dropped').textContent = String(dropped);
    if (rate !== null && element('retry').hidden) this.#say('');
  }

  /** @param {string} words */
  #say(words) {
    element('live-words').textContent = words;
  }
}

/** Which bundle and entry. @param {Choice} choice */
const modelKey = ({ model, work }) => `${work.job.bundle} ${model}`;

/** @param {string} key */
const nameIn = (key) => key.slice(key.indexOf(' ') + 1);
