/**
 * Calling oneself by one kind of path at a time, and asking servers of STUN and TURN; see
 * `doctor/calls.py` and `doctor/probes.py`. A page has no sockets, so RTCPeerConnection asks.
 * @module
 */

/** @typedef {import("./verdict.js").Call} Call */
/** @typedef {import("./verdict.js").Probed} Probed */
/** @typedef {import("./verdict.js").Nat} Nat */
/** @typedef {"host" | "srflx" | "relay"} Kind */

const PROBE_PATIENCE_MS = 5000;
/** @type {Record<Kind, number>} */
const PATIENCE_MS = { host: 3000, srflx: 3000, relay: 8000 };
const TYPE = / typ ([a-z]+)/;
const URL_PARTS = /^(stun|turn)(s?):(?:\[([^\]]+)\]|([^:?]+))(?::(\d+))?(?:\?transport=(udp|tcp))?$/;

/** @param {number} milliseconds */
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Return each URL with what is needed to use it alone.
 * @param {RTCIceServer[]} servers
 */
export function targets(servers) {
  return servers.flatMap((server) => [server.urls].flat().map((url) => {
    const [, scheme, secure, v6, name, port, transport] = URL_PARTS.exec(url) ?? [];
    return {
      server: { ...server, urls: [url] },
      url,
      host: v6 ?? name ?? url,
      port: Number(port ?? (secure ? 5349 : 3478)),
      transport: secure ? "tls" : transport ?? "udp",
      turn: scheme === "turn",
    };
  }));
}

/**
 * See whether a server does what it is for; never rejects.
 * @param {ReturnType<typeof targets>[number]} target
 * @returns {Promise<Probed>}
 */
export async function probe({ server, ...target }) {
  const found = await gathered({
    iceServers: [server], iceTransportPolicy: target.turn ? "relay" : "all",
  });
  const wanted = target.turn ? "relay" : "srflx";
  const mapped = found.types.includes(wanted);
  // A server of STUN that sees our own address adds no candidate, and reports no fault.
  const fine = mapped || (!target.turn && found.complete && found.code === 0);
  // 701: no answer at all (https://www.w3.org/TR/webrtc/#rtcpeerconnectioniceerrorevent).
  const answered = fine || (found.code >= 300 && found.code < 700);
  const reason = found.code === 401 || found.code === 441
    ? `it does not accept the name and the password (error ${found.code})`
    : answered ? `it refuses (error ${found.code})` : "no answer";
  return { ...target, mapped, answered, reason: fine ? "" : reason };
}

/** @param {RTCConfiguration} configuration */
async function gathered(configuration) {
  const connection = new RTCPeerConnection(configuration);
  const found = { types: /** @type {string[]} */ ([]), code: 0, complete: false };
  const complete = new Promise((resolve) => {
    connection.addEventListener("icecandidateerror", ({ errorCode }) => {
      if (found.code === 0 || found.code === 701) found.code = errorCode;
    });
    connection.addEventListener("icecandidate", ({ candidate }) => {
      const type = TYPE.exec(candidate?.candidate ?? "")?.[1];
      if (type !== undefined) found.types.push(type);
      if (candidate === null) {
        found.complete = true;
        resolve(undefined);
      }
    });
  });
  connection.createDataChannel("doctor");
  await connection.setLocalDescription();
  await Promise.race([complete, pause(PROBE_PATIENCE_MS)]);
  connection.close();
  return found;
}

/**
 * Call by one kind of path.
 * @param {RTCIceServer[]} iceServers
 * @param {Kind} kind
 * @param {Kind} [otherKind] what the callee is reached by, if by something else
 * @returns {Promise<Call & { seenAs: string }>} `seenAs`: the type of candidate by which the
 *   callee saw the caller
 */
export async function call(iceServers, kind, otherKind = kind) {
  const caller = new End(iceServers, kind);
  const callee = new End(iceServers, otherKind);
  const started = performance.now();
  const outcome = { kind, reason: "", seconds: null, tried: true, seenAs: "" };
  const patience = Math.max(PATIENCE_MS[kind], PATIENCE_MS[otherKind]);
  try {
    const connecting = connect(caller, callee).then(() => "connected");
    const without = Promise.race([caller.without, callee.without]).then(() => "without");
    const came = await Promise.race([connecting, without, pause(patience)]);
    if (came === "without") {
      return { ...outcome, reason: "there is no address of this kind", tried: false };
    }
    if (came !== "connected") {
      return { ...outcome, reason: `not connected within ${patience / 1000} s` };
    }
    const seconds = (performance.now() - started) / 1000;
    return { ...outcome, seconds, seenAs: await callee.remoteType() };
  } catch (error) {
    return { ...outcome, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    caller.connection.close();
    callee.connection.close();
  }
}

/** One of the two peers. */
class End {
  #kind;
  #channel;
  #candidates = 0;
  /** Resolved when there are no more candidates of the kind, and there were none. @type {Promise<void>} */
  without;
  /** Resolved when something was heard. @type {Promise<void>} */
  heard;
  /** @type {(candidate: RTCIceCandidate) => void} */
  found = () => {};

  /**
   * @param {RTCIceServer[]} iceServers
   * @param {Kind} kind
   */
  constructor(iceServers, kind) {
    this.#kind = kind;
    const iceTransportPolicy = kind === "relay" ? "relay" : "all";
    this.connection = new RTCPeerConnection({ iceServers, iceTransportPolicy });
    this.#channel = this.connection.createDataChannel("doctor", { negotiated: true, id: 0 });
    this.#channel.addEventListener("open", () => this.#channel.send("hello"));
    this.heard = new Promise((resolve) => {
      this.#channel.addEventListener("message", () => resolve());
    });
    this.without = new Promise((resolve) => {
      this.connection.addEventListener("icecandidate", ({ candidate }) => {
        if (candidate === null) {
          if (this.#candidates === 0) resolve();
        } else if (this.#wants(candidate.candidate)) {
          this.#candidates += 1;
          this.found(candidate);
        }
      });
    });
  }

  /** @param {string} candidate */
  #wants(candidate) {
    return TYPE.exec(candidate)?.[1] === this.#kind;
  }

  /** Return the type of candidate by which this end sees the other. */
  async remoteType() {
    const stats = await this.connection.getStats();
    let id = "";
    stats.forEach((each) => {
      if (each.type === "candidate-pair" && each.nominated && each.state === "succeeded") {
        id = each.remoteCandidateId;
      }
    });
    return String(stats.get(id)?.candidateType ?? "");
  }
}

/**
 * @param {End} caller
 * @param {End} callee
 */
async function connect(caller, callee) {
  // Candidates may come before the other end has its description: they wait for that.
  /** @type {() => void} */
  let settle = () => {};
  const ready = new Promise((resolve) => {
    settle = () => resolve(undefined);
  });
  for (const [one, other] of [[caller, callee], [callee, caller]]) {
    if (one === undefined || other === undefined) continue;
    one.found = (candidate) => void ready
      .then(() => other.connection.addIceCandidate(candidate))
      .catch(() => {});
  }
  await caller.connection.setLocalDescription();
  await callee.connection.setRemoteDescription(plain(caller.connection.localDescription));
  await callee.connection.setLocalDescription();
  await caller.connection.setRemoteDescription(plain(callee.connection.localDescription));
  settle();
  await Promise.all([caller.heard, callee.heard]);
}

/**
 * Return a description without candidates: they are passed on one by one.
 * @param {RTCSessionDescription | null} description
 */
function plain(description) {
  const sdp = (description?.sdp ?? "").replace(/^a=(?:candidate:.*|end-of-candidates)\r\n/gm, "");
  return { type: description?.type ?? "offer", sdp };
}

/**
 * Say what the router does, as far as a page can tell.
 *
 * A caller that offers nothing but the address that a STUN server sees calls a relay. If
 * the relay is then spoken to from that very address, the router keeps one for all.
 * @param {Probed[]} probes
 * @param {RTCIceServer[]} iceServers
 * @returns {Promise<Nat>}
 */
export async function findNat(probes, iceServers) {
  const overUdp = probes.filter(({ transport }) => transport === "udp");
  const unknown = { translated: null, mapping: "unknown", filtering: "unknown" };
  if (overUdp.length === 0) return { udp: null, ...unknown };
  if (!overUdp.some(({ answered }) => answered)) return { udp: false, ...unknown };
  const stun = overUdp.filter(({ turn, answered }) => !turn && answered);
  if (stun.length === 0) return { udp: true, ...unknown };
  if (!stun.some(({ mapped }) => mapped)) {
    return { udp: true, translated: false, mapping: "endpoint-independent", filtering: "unknown" };
  }
  const translated = { udp: true, ...unknown, translated: true };
  if (!probes.some(({ turn, reason }) => turn && reason === "")) return translated;
  const { seenAs } = await call(iceServers, "srflx", "relay");
  if (seenAs === "srflx") return { ...translated, mapping: "endpoint-independent" };
  if (seenAs === "prflx") return { ...translated, mapping: "address-and-port-dependent" };
  return translated;
}
