/**
 * The browser's WebRTC behind our small protocol; see `core/engine.py`.
 *
 * The only file that names `RTCPeerConnection`. A connection performs one operation
 * at a time, and reports everything through `emit`, in order, never from within a
 * call into it. After `close` it reports nothing more.
 * @module
 */

import { EngineError, InvalidArgument } from "./errors.js";
import { milliseconds } from "./patience.js";

/** The pre-negotiated channels: messages and control, what may come in any order, realtime. */
export const CHANNELS = Object.freeze([
  { id: 0, label: "thkmesh-control", ordered: true },
  { id: 1, label: "thkmesh-bulk", ordered: false },
  { id: 2, label: "thkmesh-realtime", ordered: false, maxRetransmits: 0 },
]);

/** What browsers can do. */
export const CAPABILITIES = Object.freeze({ rollback: true, iceRestart: true });

/**
 * @typedef {{ type: "make-offer", iceRestart: boolean }
 *   | { type: "make-answer" }
 *   | { type: "apply-remote", description: { type: "offer" | "answer", sdp: string } }
 *   | { type: "roll-back" }
 *   | { type: "add-candidate", candidate: import("./core/wire.js").CandidateInit }} Operation
 */
/**
 * @typedef {{ type: "operation-done", operation: Operation,
 *     description: { type: "offer" | "answer", sdp: string } | null }
 *   | { type: "operation-failed", operation: Operation, reason: string }
 *   | { type: "candidate-found", candidate: import("./core/wire.js").CandidateInit }
 *   | { type: "state-changed", state: RTCPeerConnectionState }
 *   | { type: "channel-opened", channel: number }
 *   | { type: "channel-closed", channel: number }
 *   | { type: "frame-received", channel: number, data: Uint8Array }
 *   | { type: "buffer-low", channel: number }} EngineEvent
 */
/**
 * What a browser knows of a connection; null where it does not tell. `localType` and
 * `remoteType` are the ICE types of the selected pair; `checksSent` of ICE's own checks have
 * been sent on it, `checksAnswered` answered.
 * @typedef {object} Stats
 * @property {number | null} rtt seconds
 * @property {string | null} localType host, srflx, prflx or relay
 * @property {string | null} remoteType
 * @property {string | null} protocol udp or tcp; for a relay, that of the way to it
 * @property {4 | 6 | null} ipVersion
 * @property {number | null} checksSent
 * @property {number | null} checksAnswered
 * @property {number | null} bytesSent
 * @property {number | null} bytesReceived
 */
/** @type {Readonly<Stats>} */
const UNKNOWN = Object.freeze({
  rtt: null,
  localType: null,
  remoteType: null,
  protocol: null,
  ipVersion: null,
  checksSent: null,
  checksAnswered: null,
  bytesSent: null,
  bytesReceived: null,
});
/** @typedef {{ iceServers: RTCIceServer[], relayOnly: boolean, lowWaterBytes: number }} Config */

/**
 * Refuse ICE servers that the browser would refuse for every connection.
 * @param {RTCIceServer[]} iceServers
 * @throws {InvalidArgument} one of them is not as the browser wants it
 */
export function checkIceServers(iceServers) {
  if (iceServers.length === 0) return;
  try {
    new RTCPeerConnection({ iceServers }).close();
  } catch (error) {
    throw new InvalidArgument(`the browser refuses the ICE servers: ${error}`);
  }
}

/**
 * Return a configuration as WebRTC has it.
 * @param {Config} config
 * @returns {RTCConfiguration}
 */
const configuration = ({ iceServers, relayOnly }) =>
  ({ iceServers, iceTransportPolicy: relayOnly ? "relay" : "all" });

const UFRAG = /^a=ice-ufrag:([!-~]+)/m;

/** One RTCPeerConnection with its three channels. */
export class Connection {
  #pc;
  #emit;
  /** @type {Map<number, RTCDataChannel>} */
  #channels = new Map();
  #closed = false;

  /**
   * @param {Config} config
   * @param {(event: EngineEvent) => void} emit
   * @throws {EngineError} the browser has no WebRTC, or refuses the ICE servers
   */
  constructor(config, emit) {
    this.#emit = emit;
    try {
      this.#pc = new RTCPeerConnection(configuration(config));
    } catch (error) {
      throw new EngineError(`the browser makes no connection: ${error}`);
    }
    this.#pc.addEventListener("connectionstatechange", () => {
      this.#report({ type: "state-changed", state: this.#pc.connectionState });
    });
    this.#pc.addEventListener("icecandidate", ({ candidate }) => this.#found(candidate));
    for (const { id, label, ...options } of CHANNELS) {
      const channel = this.#pc.createDataChannel(label, { id, negotiated: true, ...options });
      this.#channels.set(id, this.#listen(channel, id, config.lowWaterBytes));
    }
  }

  /**
   * Begin an operation; exactly one result follows, unless closed.
   * @param {Operation} operation
   */
  perform(operation) {
    this.#carryOut(operation).then(
      (description) => this.#report({ type: "operation-done", operation, description }),
      (error) => this.#report({ type: "operation-failed", operation, reason: String(error) }),
    );
  }

  /**
   * Hand one datagram to a channel; false, and nothing is sent, if it cannot take it.
   * @param {number} channel
   * @param {Uint8Array<ArrayBuffer>} data
   */
  send(channel, data) {
    try {
      this.#channels.get(channel)?.send(data);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Return how many bytes wait in the browser's buffer of a channel.
   * @param {number} channel
   */
  bufferedBytes(channel) {
    return this.#channels.get(channel)?.bufferedAmount ?? 0;
  }

  /**
   * Have another low-water mark from now on; no event comes of that alone.
   * @param {number} channel
   * @param {number} sizeBytes
   */
  markLow(channel, sizeBytes) {
    const found = this.#channels.get(channel);
    if (found !== undefined) found.bufferedAmountLowThreshold = sizeBytes;
  }

  /**
   * Gather candidates with other ICE servers from now on: at an ICE restart, that is. What
   * is in use goes on.
   * @param {Config} config
   * @throws {EngineError} the browser will not; they stay as they were
   */
  reconfigure(config) {
    if (this.#closed) return;
    try {
      this.#pc.setConfiguration(configuration(config));
    } catch (error) {
      throw new EngineError(`the ICE servers stay as they were: ${error}`);
    }
  }

  /**
   * Return what the browser knows.
   * @returns {Promise<Stats>}
   */
  async stats() {
    if (this.#closed) return UNKNOWN;
    return summary(await this.#pc.getStats());
  }

  /**
   * Close; frames already sent get up to `drain` seconds to leave. Nothing is
   * reported from the call on.
   * @param {number} [drain]
   */
  async close(drain = 0) {
    if (this.#closed) return;
    this.#closed = true;
    // Chromium does not notice a remote close(); it notices a closed channel.
    const open = [...this.#channels.values()].filter(({ readyState }) => readyState === "open");
    const closed = open.map(
      (channel) => new Promise((resolve) => channel.addEventListener("close", resolve)),
    );
    for (const channel of open) channel.close();
    if (drain > 0 && open.length > 0) {
      /** @type {ReturnType<typeof setTimeout> | undefined} */
      let timer;
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, milliseconds(drain));
      });
      await Promise.race([Promise.all(closed), late]);
      clearTimeout(timer);
    }
    this.#pc.close();
  }

  /** @param {EngineEvent} event */
  #report(event) {
    if (!this.#closed) this.#emit(event);
  }

  /**
   * @param {Operation} operation
   * @returns {Promise<{ type: "offer" | "answer", sdp: string } | null>}
   */
  async #carryOut(operation) {
    const pc = this.#pc;
    switch (operation.type) {
      case "make-offer":
        this.#require("stable");
        if (operation.iceRestart) pc.restartIce();
        await pc.setLocalDescription();
        return { type: "offer", sdp: pc.localDescription?.sdp ?? "" };
      case "make-answer":
        this.#require("have-remote-offer");
        await pc.setLocalDescription();
        return { type: "answer", sdp: pc.localDescription?.sdp ?? "" };
      case "apply-remote":
        this.#require(operation.description.type === "offer" ? "stable" : "have-local-offer");
        await pc.setRemoteDescription(operation.description);
        return null;
      case "roll-back":
        this.#require("have-local-offer");
        await pc.setLocalDescription({ type: "rollback" });
        return null;
      case "add-candidate":
        await pc.addIceCandidate(operation.candidate);
        return null;
    }
  }

  /**
   * Refuse what our table forbids and a browser may not.
   * @param {RTCSignalingState} state
   */
  #require(state) {
    if (this.#pc.signalingState !== state) {
      throw new EngineError(`not in signaling state ${this.#pc.signalingState}`);
    }
  }

  /** @param {RTCIceCandidate | null} candidate */
  #found(candidate) {
    if (candidate === null) return; // the empty candidate said so before, with its ufrag
    this.#report({
      type: "candidate-found",
      candidate: {
        candidate: candidate.candidate,
        usernameFragment: candidate.usernameFragment ?? this.#ufrag(),
        sdpMid: candidate.sdpMid,
        sdpMLineIndex: candidate.sdpMLineIndex,
      },
    });
  }

  #ufrag() {
    return UFRAG.exec(this.#pc.localDescription?.sdp ?? "")?.[1] ?? "";
  }

  /**
   * @param {RTCDataChannel} channel
   * @param {number} id
   * @param {number} lowWaterBytes
   */
  #listen(channel, id, lowWaterBytes) {
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = lowWaterBytes;
    channel.addEventListener("open", () => this.#report({ type: "channel-opened", channel: id }));
    channel.addEventListener("close", () => this.#report({ type: "channel-closed", channel: id }));
    channel.addEventListener("bufferedamountlow", () => {
      this.#report({ type: "buffer-low", channel: id });
    });
    channel.addEventListener("message", ({ data }) => {
      // We only ever send bytes; text is a stranger's.
      if (data instanceof ArrayBuffer) {
        this.#report({ type: "frame-received", channel: id, data: new Uint8Array(data) });
      }
    });
    return channel;
  }
}

/**
 * Return what a report says of the selected pair. Chromium names it in the transport;
 * Firefox marks it, and counts no checks.
 * @param {RTCStatsReport} report
 * @returns {Stats}
 */
function summary(report) {
  const entries = [...report.values()];
  const chosen = entries.find(({ type }) => type === "transport")?.selectedCandidatePairId;
  const pair = entries.find(({ id, type, selected }) => (
    type === "candidate-pair" && (chosen === undefined ? selected : id === chosen)))
    ?? entries.find(({ type, nominated, state }) => (
      type === "candidate-pair" && nominated && state === "succeeded"));
  if (pair === undefined) return UNKNOWN;
  const local = report.get(pair.localCandidateId);
  const remote = report.get(pair.remoteCandidateId);
  const protocol = local?.relayProtocol ?? local?.protocol ?? null;
  return {
    rtt: pair.currentRoundTripTime ?? null,
    localType: local?.candidateType ?? null,
    remoteType: remote?.candidateType ?? null,
    protocol: protocol === "tls" ? "tcp" : protocol,
    ipVersion: ipVersion(local?.address) ?? ipVersion(remote?.address),
    checksSent: pair.requestsSent ?? null,
    checksAnswered: pair.responsesReceived ?? null,
    bytesSent: pair.bytesSent ?? null,
    bytesReceived: pair.bytesReceived ?? null,
  };
}

/**
 * Return the version of an address; null where only a name is told.
 * @param {string | null | undefined} address
 */
function ipVersion(address) {
  if (!address) return null;
  if (address.includes(":")) return 6;
  return /^\d+(\.\d+){3}$/.test(address) ? 4 : null;
}
