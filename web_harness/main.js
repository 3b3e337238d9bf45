import { aboutHere } from './browser.js';
import { mayAsk } from './camera.js';
import { Kept, marker, ownNumber, randomHex } from './kept.js';
import { moduleUrl, runtimeUrl } from './modules.js';
import { Host, Outbox, RefusedByHost, persistently } from './send.js';
import { CameraScreen } from './screen.js';
import { SessionRun } from './session.js';
import { Shelf } from './shelf.js';
import { show } from './view.js';

/** @import { Joined, Order } from './types' */

// The secret is the address's until it was exchanged for a token; nobody reads it over a shoulder after that.
const secret = location.hash.slice(1);

/** @type {Shelf} */
const shelf = new Shelf();

/** @param {boolean} lost */
const network = (lost) => show({ step: lost ? 'lost' : 'found' });

async function main() {
  show({ step: 'begin' });
  const phone = ownNumber();
  const [kept, about] = await Promise.all([Kept.open(), aboutHere(phone)]);
  show({ step: 'about', about });
  const crashed = marker.crashed();
  if (marker.wasCut()) kept.begunAgain = 1;
  marker.end();
  addEventListener('pagehide', () => marker.hide(true));
  const host = new Host(phone, randomHex(8));
  const joined = await persistently(() => host.join(secret, about, kept, crashed), network);
  history.replaceState(null, '', location.pathname);
  // Needed in any case, and the computer may still be getting ready; what fails now is fetched again when it is needed.
  Promise.all([moduleUrl('worker.js'), ...joined.runtime.files.wasm.map(runtimeUrl)]).catch(() => {});
  await follow(joined);

  /** @param {Joined} told */
  async function follow(told) {
    /** @type {Order} */
    let order = told;
    for (;;) {
      if (order.state === 'over') return end(order.words, told.runtime);
      if (order.state === 'measure') await carryOut(order, told);
      else show({ step: 'waiting' });
      order = await persistently(() => host.work(doing(order), order.run), network);
    }
  }

  /**
   * @param {Order} order
   * @param {Joined} told
   */
  async function carryOut(order, told) {
    await kept.begin(order.run);
    /** @type {SessionRun | null} */
    let run = null;
    const outbox = new Outbox(host, kept, order.have, network, (answer) => {
      if (answer.run !== order.run || answer.state !== 'measure') run?.stop();
    });
    run = new SessionRun(host, kept, outbox, told, about, order, (step) => {
      if (step.result && step.work) shelf.add(step.result, step.work);
      show(step);
    });
    await outbox.flush();
    await run.carryOut();
  }
}

/**
 * Models and runtime are in this page's memory, so that the camera needs nothing of the computer.
 * @param {string | undefined} words
 * @param {Joined['runtime']} runtime
 */
function end(words, runtime) {
  show({ step: 'over', words });
  const { choices } = shelf;
  if (!choices.length || !mayAsk()) return;
  const screen = new CameraScreen(choices, runtime);
  show({ step: 'camera', open: () => screen.open() });
}

/** What the host is told that this page does: it answers once that changes. @param {Order} order */
const doing = (order) => order.state;

main().catch((problem) => {
  const refused = problem instanceof RefusedByHost;
  const words = refused ? problem.message : `This page failed: ${problem?.message ?? problem}`;
  show({ step: 'failed', words, status: refused ? problem.status : undefined });
  if (!refused) throw problem;
});
