// What a browser tells of itself and of the device that it is on. It is little, and may be made up.

/** @import { About, Provider, State } from './types' */

const GPU_PATIENCE_MS = 5000;
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|software/i;
const SYSTEMS = /** @type {const} */ ([
  [/Android ([\d.]+)/, 'Android'], [/(?:iPhone|CPU) OS ([\d_]+)/, 'iOS'], [/Mac OS X ([\d_.]+)/, 'macOS'],
  [/Windows NT ([\d.]+)/, 'Windows'], [/CrOS \S+ ([\d.]+)/, 'ChromeOS'], [/Linux()/, 'Linux'],
]);
const BROWSERS = /** @type {const} */ ([
  [/SamsungBrowser\/(\d+)/, 'Samsung Internet'], [/EdgA?\/(\d+)/, 'Edge'], [/OPR\/(\d+)/, 'Opera'],
  [/(?:Firefox|FxiOS)\/(\d+)/, 'Firefox'], [/CriOS\/(\d+)/, 'Chrome on iOS'], [/Chrome\/(\d+)/, 'Chrome'],
  [/Version\/(\d+[\d.]*) .*Safari/, 'Safari'],
]);

/**
 * @param {string} id of this browser
 * @returns {Promise<About>}
 */
export async function aboutHere(id) {
  const hints = await highEntropy();
  const agent = navigator.userAgent;
  const isolated = self.crossOriginIsolated === true;
  const cores = navigator.hardwareConcurrency || 1;
  const gpu = await gpuHere();
  /** @type {Provider[]} */
  const providers = gpu ? ['wasm', 'webgpu'] : ['wasm'];
  const gigabytes = /** @type {any} */ (navigator).deviceMemory ?? 0;
  return {
    id,
    model: cut(hints.model || modelIn(agent)),
    os: cut(hints.platform ? `${hints.platform} ${hints.platformVersion ?? ''}`.trim() : named(SYSTEMS, agent)),
    browser: cut(named(BROWSERS, agent) || 'an unknown browser'),
    cpu: cut([hints.architecture, hints.bitness].filter(Boolean).join(' ')),
    cores,
    memory_bytes: Math.round(gigabytes * 2 ** 30),
    isolated,
    most_threads: isolated ? cores : 1,
    providers,
    gpu: gpu && cut(gpu.words),
    simulated_gpu: gpu?.isSimulated ?? false,
  };
}

/** The state of the device now. @returns {Promise<State>} */
export async function stateNow() {
  /** @type {State} */
  const state = { visible: document.visibilityState === 'visible' };
  try {
    const battery = await /** @type {any} */ (navigator).getBattery?.();
    if (battery) {
      state.battery_percent = Math.round(battery.level * 100);
      state.charging = battery.charging;
    }
  } catch {
    // Not told here.
  }
  return state;
}

/** Keep the screen on, where the browser can; ends with the page, or when it is hidden. */
export async function stayAwake() {
  try {
    return await navigator.wakeLock?.request('screen');
  } catch {
    return undefined;
  }
}

/** @returns {Promise<{ words: string, isSimulated: boolean } | null>} */
async function gpuHere() {
  const gpu = /** @type {any} */ (navigator).gpu;
  if (!gpu) return null;
  try {
    const patience = new Promise((resolve) => { setTimeout(() => resolve(null), GPU_PATIENCE_MS); });
    const adapter = /** @type {any} */ (await Promise.race([gpu.requestAdapter(), patience]));
    if (!adapter) return null;
    const info = adapter.info ?? {};
    const words = [info.vendor, info.architecture, info.device, info.description].filter(Boolean).join(' ');
    const isSimulated = Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) || SOFTWARE.test(words);
    return { words: words || 'unknown', isSimulated };
  } catch {
    return null;
  }
}

/** @returns {Promise<Record<string, string>>} */
async function highEntropy() {
  try {
    const data = /** @type {any} */ (navigator).userAgentData;
    return await data?.getHighEntropyValues(['model', 'platformVersion', 'architecture', 'bitness']) ?? {};
  } catch {
    return {};
  }
}

/** @param {string} agent */
function modelIn(agent) {
  const android = /Android [\d.]+; ([^;)]+)/.exec(agent);
  if (android && android[1] !== 'K') return android[1];
  return /\b(iPhone|iPad|Macintosh|Windows|Linux x86_64|CrOS|Android)\b/.exec(agent)?.[1] ?? '';
}

/**
 * @param {readonly (readonly [RegExp, string])[]} table
 * @param {string} agent
 */
function named(table, agent) {
  for (const [pattern, name] of table) {
    const found = pattern.exec(agent);
    if (found) return `${name} ${found[1].replaceAll('_', '.')}`.trim();
  }
  return '';
}

/** @param {string} text */
const cut = (text) => text.slice(0, 200);
