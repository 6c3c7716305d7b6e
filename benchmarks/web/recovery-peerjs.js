/**
 * PeerJS in the benchmark `recovery`, as an application would use it: when the library says
 * that a connection is over, the one who called calls again.
 */

const PAUSE_MS = 500;
const { host, port } = told;
const server = { host, port, path: "/peers", config: { iceServers: [] } };

let peer;
let other = "";
let connection = null;
let opened;
let ended;

globalThis.prepare = (name, first) => new Promise((resolve, reject) => {
  ended = false;
  opened = Promise.withResolvers();
  other = first ? `${name}-b` : "";
  peer = new Peer(`${name}-${first ? "a" : "b"}`, server);
  peer.on("open", () => resolve());
  peer.on("connection", use);
  peer.on("disconnected", () => ended || setTimeout(() => ended || peer.reconnect(), PAUSE_MS));
  peer.on("error", reject); // after the first time, nobody waits for it
});

globalThis.connect = () => {
  if (other) use(peer.connect(other, { reliable: true, serialization: "json" }));
  return opened.promise;
};

function use(made) {
  connection = made;
  let over = false;
  const again = () => {
    if (over || ended) return;
    over = true;
    closed();
    if (other) setTimeout(() => ended || connect(), PAUSE_MS);
  };
  made.on("open", () => opened.resolve());
  made.on("data", hear);
  made.on("close", again);
  made.on("error", () => { made.close(); again(); });
}

globalThis.say = (message) => {
  if (connection.open) connection.send(message);
};

globalThis.end = () => {
  ended = true;
  peer.destroy();
};
