/**
 * simple-peer in the benchmark `recovery`, as an application would use it, with the least of
 * a signaling: a WebSocket that hands on to the other what one says. When the library says
 * that a connection is over, the initiator makes another, and so does the other at its offer.
 */

const PAUSE_MS = 500;

let socket;
let initiator = false;
let attempt = 0;
let peer = null;
let opened;
let ended;

globalThis.prepare = async (name, first) => {
  ended = false;
  attempt = 0;
  peer = null;
  initiator = first;
  opened = Promise.withResolvers();
  await dial(`ws://${location.host}/signals/${name}`);
};

const dial = (url) => new Promise((resolve) => {
  socket = new WebSocket(url);
  socket.onopen = () => resolve();
  socket.onmessage = ({ data }) => take(JSON.parse(data));
  socket.onclose = () => ended || setTimeout(() => ended || dial(url).then(resolve), PAUSE_MS);
});

globalThis.connect = () => {
  if (initiator) make(attempt + 1);
  return opened.promise;
};

function take({ attempt: theirs, signal }) {
  if (!initiator && theirs > attempt) make(theirs);
  if (theirs === attempt && !peer.destroyed) peer.signal(signal);
}

function make(number) {
  attempt = number;
  peer?.destroy();
  const made = peer = new SimplePeer({ initiator, config: { iceServers: [] } });
  made.on("signal", (signal) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ attempt: number, signal }));
  });
  made.on("connect", () => opened.resolve());
  made.on("data", (data) => hear(JSON.parse(data)));
  made.on("error", () => {}); // a close follows
  made.on("close", () => {
    if (ended || made !== peer) return;
    closed();
    if (initiator) setTimeout(() => ended || made !== peer || make(attempt + 1), PAUSE_MS);
  });
}

globalThis.say = (message) => {
  try {
    peer.send(JSON.stringify(message));
  } catch {
    // not connected: it says so, and the application has nobody to say it to
  }
};

globalThis.end = () => {
  ended = true;
  peer?.destroy();
  socket.close();
};
