/**
 * The doctor's page: it examines at once, and shows what it finds as it finds it.
 * @module
 */

import { found, h } from "../page/dom.js";
import { requireCrypto } from "../keys.js";
import { call, findNat, probe, targets } from "./calls.js";
import { enter } from "./entrance.js";
import { judge, OTHERS, WAYS, works } from "./verdict.js";

/** @typedef {import("./verdict.js").Call} Call */
/** @typedef {import("./verdict.js").Findings} Findings */
/** @typedef {import("./verdict.js").Verdict} Verdict */

/** @type {Record<string, string>} */
const NETWORKS = {
  "open": "No router translates your address: others reach you as you are.",
  "router": "You are behind an ordinary router: it keeps one address for all.",
  "strict router": "You are behind a strict router (symmetric NAT): it takes another port for "
    + "everybody you speak with.",
  "no UDP": "Your network blocks UDP.",
  "unknown": "What your router does could not be found out.",
};
/** @type {Record<string, string>} */
const CALLS = {
  host: "Call within this browser",
  srflx: "Call by the router's address",
  relay: "Call through TURN",
  server: "Call through the signaling server",
};
const HAIRPIN = "does not work, which matters only to peers behind the same router";

const list = found("dl", "findings");

/**
 * Add a line to what was found.
 * @param {string} what
 * @param {string} said
 * @param {boolean} good
 */
function tell(what, said, good) {
  list.append(h("dt", {}, what), h("dd", { class: good ? "good" : "bad" }, said));
}

/** @param {number | null} seconds */
const milliseconds = (seconds) => (seconds === null ? "" : `, ${Math.round(1000 * seconds)} ms`);

/** @param {Call} made */
function tellCall(made) {
  let said = `works${milliseconds(made.seconds)}`;
  if (!made.tried) said = `not tried: ${made.reason}`;
  else if (made.reason !== "") {
    said = made.kind === "srflx" ? `${HAIRPIN} (${made.reason})` : `fails: ${made.reason}`;
  }
  tell(CALLS[made.kind] ?? made.kind, said, works(made) || !made.tried || made.kind === "srflx");
}

/**
 * Examine; show everything.
 * @returns {Promise<Findings>}
 */
async function examine() {
  const url = new URL("ws", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const bytes = Array.from(crypto.getRandomValues(new Uint8Array(8)));
  const room = `doctor-${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  const entrance = await enter(url.href, room);
  const joined = entrance.reason === "";
  tell("Signaling", joined ? `joined${milliseconds(entrance.seconds)}` : entrance.reason, joined);
  /** @type {Findings} */
  const findings = {
    entrance,
    probes: [],
    nat: { udp: null, translated: null, mapping: "unknown", filtering: "unknown" },
    calls: [],
  };
  if (!joined) return findings;
  findings.probes = await Promise.all(targets(entrance.iceServers).map(probe));
  for (const { url: server, reason } of findings.probes) {
    tell(server, reason === "" ? "works" : reason, reason === "");
  }
  const relays = findings.probes.some(({ turn, reason }) => turn && reason === "");
  const mapped = findings.probes.some((probed) => probed.mapped);
  findings.nat = await findNat(findings.probes, entrance.iceServers);
  /** @type {["host" | "srflx" | "relay", boolean][]} */
  const kinds = [["host", true], ["srflx", mapped], ["relay", relays]];
  findings.calls = await Promise.all(kinds.map(async ([kind, possible]) => (possible
    ? call(entrance.iceServers, kind)
    : { kind, reason: "there is no server for it", seconds: null, tried: false })));
  for (const made of [...findings.calls, entrance.relay]) tellCall(made);
  return findings;
}

/** @param {Verdict} verdict */
function conclude(verdict) {
  const section = found("section", "verdict");
  const title = verdict.healthy ? "All is well" : "What is wrong";
  section.append(h("h2", {}, title));
  if (verdict.problems.length > 0) {
    section.append(h("ul", {}, ...verdict.problems.map((problem) => h("li", {}, problem))));
    section.append(h("h2", {}, "What to do"));
    section.append(h("ul", {}, ...verdict.advice.map((remedy) => h("li", {}, remedy))));
  }
  const ways = Object.entries(verdict.ways);
  if (ways.length > 0) {
    section.append(h("h2", {}, "You are connected"));
    section.append(h("p", {}, NETWORKS[verdict.network] ?? ""));
    section.append(h("ul", {}, ...ways.map(([other, way]) => h(
      "li",
      {},
      h("strong", {}, WAYS[/** @type {keyof typeof WAYS} */ (way)]),
      ` with ${OTHERS[/** @type {keyof typeof OTHERS} */ (other)]}`,
    ))));
  }
  section.dataset.healthy = String(verdict.healthy);
  section.hidden = false;
}

const state = found("p", "state");
try {
  requireCrypto();
  const findings = await examine();
  conclude(judge(findings));
  state.hidden = true;
} catch (error) {
  state.textContent = error instanceof Error ? error.message : String(error);
}
