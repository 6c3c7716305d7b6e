/**
 * The benchmark `throughput` with node-datachannel: run, it asks (see throughput_actors.py)
 * what its parent tells it on standard input; the process that it forks answers.
 */

import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import nodeDataChannel from "node-datachannel";

const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = 256 * 1024;
const BOUNCE_BYTES = 100;

/** Connect with the process at the other end of `port`. */
function connect(port, offers) {
  const peer = new nodeDataChannel.PeerConnection("bench", {
    iceServers: [],
    disableAutoNegotiation: true,
    maxMessageSize: 262_144,
  });
  peer.onLocalDescription((sdp, type) => port.send({ type, sdp }));
  peer.onLocalCandidate((candidate, mid) => port.send({ candidate, mid }));
  const channel = peer.createDataChannel("bench", { negotiated: true, id: 0 });
  port.on("message", (signal) => {
    if (signal.sdp) {
      peer.setRemoteDescription(signal.sdp, signal.type);
      if (signal.type === "offer") peer.setLocalDescription("answer");
    } else if (signal.candidate) {
      peer.addRemoteCandidate(signal.candidate, signal.mid);
    }
  });
  if (offers) peer.setLocalDescription("offer");
  return channel;
}

function answer() {
  const channel = connect(process, false);
  let missing = 0;
  channel.onMessage((data) => {
    if (missing > 0 && --missing > 0) return;
    channel.sendMessageBinary(data.subarray(0, BOUNCE_BYTES));
  });
  process.on("message", ({ count }) => {
    if (count === undefined) return;
    missing = count;
    process.send({ ready: true });
  });
}

function ask() {
  const other = fork(fileURLToPath(import.meta.url), ["answer"]);
  const channel = connect(other, true);
  let replied = () => {};
  let ready = () => {};
  let low = () => {};
  channel.setBufferedAmountLowThreshold(LOW_WATER_BYTES);
  channel.onBufferedAmountLow(() => low());
  channel.onMessage(() => replied());
  other.on("message", (signal) => signal.ready && ready());
  const tell = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

  async function stream(size, count) {
    const data = randomBytes(size);
    await new Promise((resolve) => {
      ready = resolve;
      other.send({ count });
    });
    const start = performance.now();
    const reply = new Promise((resolve) => (replied = resolve));
    for (let sent = 0; sent < count; sent++) {
      if (channel.bufferedAmount() > HIGH_WATER_BYTES) {
        await new Promise((resolve) => (low = resolve));
      }
      channel.sendMessageBinary(data);
    }
    await reply;
    return (performance.now() - start) / 1000;
  }

  async function bounce(count) {
    const data = Buffer.alloc(BOUNCE_BYTES);
    const times = [];
    for (let round = 0; round < count; round++) {
      const start = performance.now();
      const reply = new Promise((resolve) => (replied = resolve));
      channel.sendMessageBinary(data);
      await reply;
      times.push(performance.now() - start);
    }
    return times;
  }

  channel.onOpen(async () => {
    tell(other.pid);
    for await (const line of createInterface({ input: process.stdin })) {
      const [what, ...numbers] = JSON.parse(line);
      tell(await { stream, bounce }[what](...numbers));
    }
    other.kill();
    process.exit();
  });
}

if (process.argv[2] === "answer") answer();
else ask();
