/** @import { About, Joined, Order } from './types' */
/** @import { Kept } from './kept.js' */

const LONGEST_BATCH = 1 << 20;
const MOST_LEFT = 6 << 20;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8000;

/** The host refuses for good; its message is for people. */
export class RefusedByHost extends Error {
  /**
   * @param {number} status
   * @param {string} message
   */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * A file of the host.
 * @param {string} path
 * @returns {Promise<Response>}
 * @throws {RefusedByHost} it is not given
 */
export async function fetched(path) {
  const answer = await fetch(path, { cache: 'no-store' });
  if (!answer.ok) throw new RefusedByHost(answer.status, `${path} cannot be had: ${answer.status}`);
  return answer;
}

/** The computer that asked, as a page speaks to it. */
export class Host {
  /**
   * @param {string} phone number of this browser
   * @param {string} page number of this page
   */
  constructor(phone, page) {
    this.phone = phone;
    this.page = page;
  }

  /**
   * @param {string} secret empty where a token of an earlier page is there
   * @param {About} about
   * @param {Kept} kept
   * @param {string | null} crashed
   * @returns {Promise<Joined>}
   */
  join(secret, about, kept, crashed) {
    const all = kept.lines.map((line) => `${line}\n`).join('');
    // More than the host takes of a run that it may not know; of one that it knows, they are sent afterwards.
    const lines = all.length <= MOST_LEFT ? all : '';
    const headers = secret ? { Authorization: `Pocketgan ${secret}` } : undefined;
    const head = JSON.stringify({ page: this.page, about, run: kept.run, crashed });
    return this.#ask('POST', '/join', {}, `${head}\n${lines}`, headers);
  }

  /**
   * Answered once there is something else to do, or after a while.
   * @param {string} state what this page does
   * @param {string} run
   * @returns {Promise<Order>}
   */
  work(state, run) {
    return this.#ask('GET', '/work', { state, run });
  }

  /**
   * @param {string} run
   * @param {number} first number of the first line
   * @param {string[]} lines
   * @returns {Promise<Order>}
   */
  lines(run, first, lines) {
    return this.#ask('POST', '/lines', { run, first: String(first) }, lines.map((line) => `${line}\n`).join(''));
  }

  /**
   * @param {string} run
   * @param {string} line empty where nothing went on
   * @returns {Promise<Order>}
   */
  beat(run, line) {
    return this.#ask('POST', '/beat', { run }, line);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {Record<string, string>} query
   * @param {string} [body]
   * @param {Record<string, string>} [headers]
   * @returns {Promise<any>}
   */
  async #ask(method, path, query, body, headers) {
    const more = new URLSearchParams({ ...query, phone: this.phone, page: this.page });
    const answer = await fetch(`${path}?${more}`, { method, body, headers, cache: 'no-store' });
    const told = await answer.json();
    // Too many requests, and what is not the host's own word, may be better the next time.
    if (answer.status === 429) throw new Error(told.error);
    if (!answer.ok) throw new RefusedByHost(answer.status, String(told.error));
    return told;
  }
}

/**
 * Ask until there is an answer; a network that is gone comes back.
 * @template T
 * @param {() => Promise<T>} ask
 * @param {(lost: boolean) => void} tell whether the network is gone
 * @returns {Promise<T>}
 */
export async function persistently(ask, tell) {
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
    try {
      const answer = await ask();
      tell(false);
      return answer;
    } catch (problem) {
      if (problem instanceof RefusedByHost) throw problem;
      tell(true);
      await new Promise((resolve) => { setTimeout(resolve, wait); });
    }
  }
}

/** Sends the lines of a run, each once, in order, as soon as the network is there. */
export class Outbox {
  /** @type {Promise<void>} */
  #sending = Promise.resolve();

  /**
   * @param {Host} host
   * @param {Kept} kept
   * @param {number} have how many lines the host has
   * @param {(lost: boolean) => void} tell
   * @param {(order: Order) => void} answered
   */
  constructor(host, kept, have, tell, answered) {
    this.host = host;
    this.kept = kept;
    this.have = have;
    this.tell = tell;
    this.answered = answered;
  }

  /** Send what there is; resolves once the host has it. */
  flush() {
    this.#sending = this.#sending.then(() => this.#send());
    return this.#sending;
  }

  async #send() {
    const { kept } = this;
    const { run } = kept;
    while (this.have < kept.lines.length && kept.run === run) {
      /** @type {string[]} */
      const batch = [];
      for (let at = this.have, size = 0; at < kept.lines.length; at += 1) {
        size += kept.lines[at].length;
        if (batch.length && size > LONGEST_BATCH) break;
        batch.push(kept.lines[at]);
      }
      const order = await persistently(() => this.host.lines(run, this.have, batch), this.tell);
      if (order.run !== run) return this.answered(order);
      this.have = order.have;
      this.answered(order);
    }
    return undefined;
  }
}
