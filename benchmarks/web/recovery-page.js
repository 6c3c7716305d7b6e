/**
 * What every page does in the benchmark `recovery`: it says a number all the time, and
 * remembers what it heard when. A contestant's script gives `prepare(room, first)`,
 * `connect()`, `say(message)` and `end()`, and calls `hear(message)` and `closed()`.
 */

const INTERVAL_MS = 100;

let timer = 0;

/** Begin anew, with nobody. */
globalThis.forget = () => {
  clearInterval(timer);
  Object.assign(globalThis, { said: [], heard: [], closings: [], relays: [], made: [], restarts: [], states: [] });
};
forget();

// How a library mends a connection can be seen from what it asks of the browser.
globalThis.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...settings) {
    super(...settings);
    const number = made.push(Date.now());
    this.addEventListener("iceconnectionstatechange", () => {
      states.push([Date.now(), number, this.iceConnectionState]);
    });
  }

  restartIce() {
    restarts.push(Date.now());
    super.restartIce();
  }
};

/** Say something every 100 ms, to a connection that may be there. */
globalThis.talk = () => {
  timer = setInterval(() => {
    const message = { n: said.length, at: Date.now() };
    said.push(message.at);
    say(message);
  }, INTERVAL_MS);
};

globalThis.hush = () => clearInterval(timer);

/** Take what the other said. */
globalThis.hear = ({ n, at }) => heard.push([n, at, Date.now()]);

/** Take note that the application was told that its connection is over. */
globalThis.closed = () => closings.push(Date.now());

/** Return when the first came of what was said from a moment on; null if none has. */
globalThis.recovered = (since) => heard.find(([, at]) => at >= since)?.[2] ?? null;

/** Return all that is remembered. */
globalThis.recall = () => ({ said, heard, closings, relays, made, restarts, states });
