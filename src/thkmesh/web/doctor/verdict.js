/**
 * What was found, in plain words, and what to do about it; see `doctor/verdict.py`, whose
 * vectors (`spec/vectors/doctor.json`) hold this to the same.
 * @module
 */

/**
 * @typedef {object} Call
 * @property {string} kind host, srflx, relay or server
 * @property {string} reason why it failed; empty if it did not
 * @property {number | null} seconds how long it took
 * @property {boolean} tried whether there was anything to try with
 */
/**
 * @typedef {object} Probed
 * @property {string} url as it was offered
 * @property {string} host
 * @property {number} port
 * @property {string} transport udp, tcp or tls
 * @property {boolean} turn whether it is to relay
 * @property {string} reason why it failed; empty if it did not
 * @property {boolean} answered whether it said anything at all
 * @property {boolean} mapped whether it told us another address than ours
 */
/**
 * @typedef {object} Nat
 * @property {boolean | null} udp whether any server answered over UDP; null if none could be asked
 * @property {boolean | null} translated whether others see another address than ours
 * @property {string} mapping on what the address that others see depends (RFC 4787)
 * @property {string} filtering on what it depends whether others reach it
 */
/**
 * @typedef {object} Findings
 * @property {{ reason: string, relay: Call }} entrance
 * @property {Probed[]} probes
 * @property {Nat} nat
 * @property {Call[]} calls
 */
/**
 * @typedef {object} Verdict
 * @property {string} network
 * @property {Record<string, string>} ways how we reach whom
 * @property {string[]} problems
 * @property {string[]} advice
 * @property {boolean} healthy
 */

export const OTHERS = Object.freeze({
  "open": "someone without a router",
  "router": "someone behind an ordinary router",
  "strict-router": "someone behind a strict router (symmetric NAT)",
  "no-udp": "someone whose network blocks UDP",
});

export const WAYS = Object.freeze({
  direct: "directly",
  turn: "through TURN",
  server: "through the signaling server, slowly",
  not: "not at all",
  unknown: "unknown",
});

const NOBODY = "Nobody can join a room before that is mended. See that the URL is right, that the "
  + "server runs, and that a proxy in front of it passes WebSockets on.";

/** @param {Call} call */
export const works = (call) => call.tried && call.reason === "";

/**
 * Conclude.
 * @param {Findings} findings
 * @returns {Verdict}
 */
export function judge(findings) {
  if (findings.entrance.reason !== "") {
    const problem = `The signaling server cannot be used: ${findings.entrance.reason}.`;
    return { network: "unknown", ways: {}, problems: [problem], advice: [NOBODY], healthy: false };
  }
  const network = networkOf(findings.nat);
  const ways = Object.fromEntries(
    Object.keys(OTHERS).map((other) => [other, wayTo(network, other, findings)]),
  );
  const complaints = [...complaintsAbout(findings, network, ways)];
  const problems = complaints.map(([problem]) => problem);
  const advice = [...new Set(complaints.map(([, remedy]) => remedy).filter(Boolean))];
  const good = Object.values(ways).every((way) => way === "direct" || way === "turn");
  return { network, ways, problems, advice, healthy: good && problems.length === 0 };
}

/** @param {Nat} nat */
function networkOf(nat) {
  if (nat.udp === null) return "unknown";
  if (!nat.udp) return "no UDP";
  if (["address-dependent", "address-and-port-dependent"].includes(nat.mapping)) {
    return "strict router";
  }
  if (nat.translated === false) return "open";
  return nat.mapping === "unknown" ? "unknown" : "router";
}

/**
 * @param {string} network
 * @param {string} other
 * @param {Findings} findings
 */
function wayTo(network, other, findings) {
  // Without servers nobody tells a peer its address, so only those work that need no translation.
  const direct = findings.probes.length === 0
    ? other === "open"
    : isDirect(network, other, findings.nat.filtering);
  if (direct) return "direct";
  const relays = findings.probes.filter(({ turn, reason }) => turn && reason === "");
  // Whoever has no UDP needs a way to the relay without it, too.
  if (relays.some(({ transport }) => other !== "no-udp" || transport !== "udp")) return "turn";
  if (direct === null) return "unknown";
  return works(findings.entrance.relay) ? "server" : "not";
}

/**
 * Tell whether packets of both get through; null if that cannot be told.
 * @param {string} network
 * @param {string} other
 * @param {string} filtering
 * @returns {boolean | null}
 */
function isDirect(network, other, filtering) {
  if (network === "no UDP" || other === "no-udp") return false;
  if (network === "open" || other === "open") return true;
  if (network === "unknown") return null;
  if (network !== "router") return false;
  return other !== "strict-router" || !["address-and-port-dependent", "unknown"].includes(filtering);
}

/**
 * Yield all that is wrong and what to do about each, the worst first.
 * @param {Findings} findings
 * @param {string} network
 * @param {Record<string, string>} ways
 * @returns {Generator<[problem: string, remedy: string]>}
 */
function* complaintsAbout(findings, network, ways) {
  const turn = findings.probes.some((probed) => probed.turn);
  const missing = Object.entries(OTHERS)
    .filter(([other]) => ways[other] === "server" || ways[other] === "not")
    .map(([, words]) => words);
  if (network === "no UDP") {
    yield [
      "Your network lets no UDP through to the servers, so there are no direct connections "
        + "with anybody outside it.",
      "Allow UDP out of your network, to port 3478 of the TURN server at least; or see that "
        + "the server offers TURN over TCP and TLS (turn:HOST:3478?transport=tcp, "
        + "turns:HOST:443?transport=tcp).",
    ];
  }
  if (findings.probes.length === 0) {
    yield [
      "The server offers neither STUN nor TURN, so peers connect directly only within one "
        + "network.",
      "Name a STUN server, or better a TURN server, with --ice-server to thkmesh serve.",
    ];
  }
  if (turn && findings.probes.every(({ transport }) => transport === "udp")) {
    yield [
      "TURN is offered over UDP only, which does not help those whose network blocks UDP.",
      "Offer it over TCP, too: --ice-server turn:HOST:3478?transport=tcp; best over TLS on "
        + "port 443, which the strictest firewalls let through.",
    ];
  }
  if (missing.length > 0 && !turn) {
    yield [
      `You have no fast path to ${listed(missing)}, for the server offers no TURN server.`,
      "Run coturn with deploy/coturn.conf, and name it to the server: thkmesh serve "
        + "--ice-server turn:HOST:3478?transport=udp --ice-server turn:HOST:3478?transport=tcp.",
    ];
  }
  for (const probed of findings.probes) if (probed.reason !== "") yield unreached(probed, network);
  yield* failedCalls(findings);
}

/**
 * @param {Probed} probed
 * @param {string} network
 * @returns {[problem: string, remedy: string]}
 */
function unreached({ url, host, port, transport, turn, reason, answered }, network) {
  const problem = `${url} does not work: ${reason}.`;
  if (answered) {
    return [
      problem,
      `${host} can be reached, so mend its configuration: compare the name and the `
        + "password that thkmesh serve hands out with those of coturn, and its clock.",
    ];
  }
  if (transport === "udp" && network === "no UDP") return [problem, ""];
  return [
    problem,
    `See that ${host} runs ${turn ? "TURN" : "STUN"} on port ${port}, and that both firewalls, its `
      + `own and yours, let ${transport === "udp" ? "UDP" : "TCP"} through to it.`,
  ];
}

/**
 * Yield what the calls say that the probes do not.
 * @param {Findings} findings
 * @returns {Generator<[problem: string, remedy: string]>}
 */
function* failedCalls(findings) {
  const host = findings.calls.find(({ kind }) => kind === "host");
  const relay = findings.calls.find(({ kind }) => kind === "relay");
  if (host !== undefined && !works(host)) {
    yield [
      `Even a call within this machine fails: ${host.reason}.`,
      "A firewall on this machine may block UDP between its own programs; let it pass.",
    ];
  }
  const allocated = findings.probes.some(({ turn, reason }) => turn && reason === "");
  if (relay?.tried && relay.reason !== "" && allocated) {
    yield [
      `TURN lets us in, but a call through it fails: ${relay.reason}.`,
      "The TURN server must reach its own relays: set external-ip in coturn.conf if it is "
        + "behind a router, and open its ports 49152 to 65535 for UDP.",
    ];
  }
  const server = findings.entrance.relay;
  if (server.tried && server.reason !== "") {
    yield [
      `The relay through the signaling server fails: ${server.reason}.`,
      "See that no proxy in front of the server keeps binary messages back.",
    ];
  }
}

/** @param {string[]} words */
function listed(words) {
  const last = words.at(-1) ?? "";
  return words.length > 1 ? `${words.slice(0, -1).join(", ")} or ${last}` : last;
}
