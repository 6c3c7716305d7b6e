/**
 * How many candidates of the other side an engine is given; see `core/candidates.py`.
 * @module
 */

import { ufragsOf } from "./negotiation.js";

/** Candidates for one remote ICE generation. */
export const CANDIDATE_LIMIT = 128;

const IN_SDP = /(?:^|\n)a=(candidate:[^\r\n]*)/g;
const FIELDS = 6;

/**
 * Return what tells a candidate from others: its first fields, up to the port.
 * @param {string} candidate
 */
function nameOf(candidate) {
  return candidate.split(" ").slice(0, FIELDS).join(" ");
}

/** The remote candidates of one connection. */
export class CandidateBudget {
  #ufrags = "";
  /** @type {Set<string>} */
  #known = new Set();

  /**
   * Tell whether what an operation adds is within the limit, and count it if so.
   * @param {import("../engine.js").Operation} operation
   */
  allows(operation) {
    /** @type {string[]} */
    let added;
    if (operation.type === "apply-remote") {
      const { sdp } = operation.description;
      added = [...sdp.matchAll(IN_SDP)].map(([, each]) => /** @type {string} */ (each));
      const ufrags = ufragsOf(sdp).join(" ");
      if (ufrags !== this.#ufrags) {
        this.#ufrags = ufrags;
        this.#known = new Set();
      }
    } else if (operation.type === "add-candidate") {
      added = [operation.candidate.candidate];
    } else {
      return true;
    }
    const known = new Set([...this.#known, ...added.map(nameOf)]);
    const within = known.size <= CANDIDATE_LIMIT;
    if (within) this.#known = known;
    return within;
  }
}
