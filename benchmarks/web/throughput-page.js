/**
 * What a page does in the benchmark `throughput`: it asks or answers (see
 * throughput_actors.py), over a bare RTCPeerConnection or in a room of THKMesh.
 */

const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = 256 * 1024;
const BOUNCE_BYTES = 100;

let send; // returns a promise
let replied = () => {};
let ready = () => {};
let expect; // tells the other end how many will come
let missing = 0;

const reply = () => new Promise((resolve) => (replied = resolve));

/** Take what comes: data, or, as text or number, what is said about it. */
function take(data) {
  if (data === "ready") {
    ready();
  } else if (typeof data === "number" || typeof data === "string") {
    missing = Number(data);
    send("ready");
  } else if (globalThis.answering) {
    if (missing > 0 && --missing > 0) return;
    send(data.slice(0, BOUNCE_BYTES));
  } else {
    replied();
  }
}

// ---- asking ------------------------------------------------------------------

globalThis.stream = async (size, count) => {
  const data = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(data.subarray(at, at + 65536));
  const told = new Promise((resolve) => (ready = resolve));
  await expect(count);
  await told;
  const start = performance.now();
  const end = reply();
  for (let sent = 0; sent < count; sent++) await send(data);
  await end;
  return (performance.now() - start) / 1000;
};

globalThis.bounce = async (count) => {
  const data = new Uint8Array(BOUNCE_BYTES);
  const times = [];
  for (let round = 0; round < count; round++) {
    const start = performance.now();
    const end = reply();
    await send(data);
    await end;
    times.push(performance.now() - start);
  }
  return times;
};

// ---- a bare connection -------------------------------------------------------

let peer;
let opened;

function connect() {
  peer = new RTCPeerConnection();
  const channel = peer.createDataChannel("bench", { negotiated: true, id: 0 });
  channel.binaryType = "arraybuffer";
  channel.bufferedAmountLowThreshold = LOW_WATER_BYTES;
  let low = () => {};
  channel.onbufferedamountlow = () => low();
  channel.onmessage = ({ data }) => take(data);
  opened = new Promise((resolve) => (channel.onopen = () => resolve(true)));
  // Not async: with room in the buffer it costs no more than the call.
  send = (data) => {
    channel.send(data);
    if (channel.bufferedAmount > HIGH_WATER_BYTES) {
      return new Promise((resolve) => (low = resolve));
    }
  };
  expect = (count) => send(String(count));
}

async function described() {
  if (peer.iceGatheringState !== "complete") {
    await new Promise((resolve) => {
      peer.onicegatheringstatechange = () => peer.iceGatheringState === "complete" && resolve();
    });
  }
  return JSON.stringify(peer.localDescription);
}

globalThis.offer = async () => {
  connect();
  await peer.setLocalDescription();
  return described();
};

globalThis.answer = async (offer) => {
  globalThis.answering = true;
  connect();
  await peer.setRemoteDescription(offer);
  await peer.setLocalDescription();
  return described();
};

globalThis.accept = async (answer) => {
  await peer.setRemoteDescription(answer);
  return opened;
};

// ---- THKMesh -----------------------------------------------------------------

/** Be in a room; returns when it has a link, or at once when it is to answer. */
globalThis.enter = async (name, answers) => {
  globalThis.answering = answers;
  const mesh = await import("/thkmesh/index.js");
  const room = await mesh.join({ room: name, name: answers ? "answering" : "asking" });
  send = (data) => room.send(data);
  expect = send;
  const linked = new Promise((resolve) => {
    (async () => {
      for await (const event of room) {
        if (event.type === "message") take(event.data);
        else if (event.type === "link-changed" && event.state === "connected") resolve(true);
      }
    })();
  });
  return answers || linked;
};
