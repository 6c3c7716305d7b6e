/** What a page does in the benchmark `pages`, with PeerJS. */

const server = {
  host: location.hostname,
  port: Number(location.port),
  path: "/peers",
  config: { iceServers: [] },
};

globalThis.load = () => new Promise((resolve, reject) => {
  const script = document.createElement("script");
  script.src = "/peerjs.min.js";
  script.onload = () => resolve();
  script.onerror = () => reject(new Error("no PeerJS"));
  document.head.append(script);
});

/** Be there under a known id, and greet whoever connects. */
globalThis.greet = () => new Promise((resolve, reject) => {
  const peer = new Peer("greeter", server);
  peer.on("connection", (connection) => {
    connection.on("open", () => connection.send("hello")); // before that, it refuses to
  });
  peer.on("open", () => resolve());
  peer.on("error", reject);
});

/** Connect to the greeter, and return when what had happened, in milliseconds. */
globalThis.arrive = () => new Promise((resolve, reject) => {
  const laps = (globalThis.laps = {});
  const id = crypto.randomUUID(); // or it would ask its server for one first
  const start = performance.now();
  const peer = new Peer(id, server);
  globalThis.depart = () => peer.destroy();
  peer.on("open", () => {
    laps.joined = performance.now() - start;
    const connection = peer.connect("greeter", { reliable: true });
    connection.on("open", () => {
      laps.connected = performance.now() - start;
    });
    connection.on("data", () => {
      laps.message = performance.now() - start;
      resolve(laps);
    });
    connection.on("error", reject);
  });
  peer.on("error", reject);
});
