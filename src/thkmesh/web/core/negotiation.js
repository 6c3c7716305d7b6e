/**
 * Perfect negotiation: two sessions agree on descriptions, whoever speaks first.
 *
 * The same machine as `core/negotiation.py`, which has the theory and the table; both
 * replay `spec/vectors/negotiation.json`. One inbox, one engine operation in flight;
 * candidates are known by their ICE username fragment, and kept or dropped by that.
 * @module
 */

/** How many signals may wait for the engine before the generation is broken. */
export const INBOX_LIMIT = 256;

/** @typedef {import("../engine.js").Operation} Operation */
/** @typedef {import("../engine.js").EngineEvent} EngineEvent */
/** @typedef {import("./wire.js").SignalBody} SignalBody */
/** @typedef {import("./wire.js").CandidateInit} CandidateInit */
/** @typedef {Exclude<SignalBody, { kind: "restart" }>} Waiting */
/** @typedef {"stable" | "have-local-offer" | "have-remote-offer"} SignalingState */
/**
 * @typedef {{ type: "begin", force: boolean }
 *   | { type: "change", iceRestart: boolean }
 *   | { type: "replace" }
 *   | { type: "received", body: SignalBody }
 *   | Extract<EngineEvent, { type: "operation-done" | "operation-failed" | "candidate-found" }>
 * } NegotiationEvent
 */
/**
 * @typedef {{ type: "open-connection", generation: number }
 *   | { type: "send-body", body: SignalBody }
 *   | { type: "broken", reason: string }
 *   | { type: "ignored", reason: string, violation: boolean }
 *   | Operation} NegotiationOutput
 */

const UFRAG = /(?:^|\n)a=ice-ufrag:([!-~]+)/g;

/**
 * Return the ICE username fragments in a description (RFC 8839, section 5.4).
 * @param {string} sdp
 */
export function ufragsOf(sdp) {
  const found = [...sdp.matchAll(UFRAG)].map(([, ufrag]) => /** @type {string} */ (ufrag));
  return [...new Set(found)].sort();
}

/**
 * @param {string} reason
 * @param {boolean} [violation] no correct peer does it
 * @returns {NegotiationOutput}
 */
function ignored(reason, violation = false) {
  return { type: "ignored", reason, violation };
}

/**
 * Return the name that Python's logs have for an operation.
 * @param {string} type
 */
function nameOf(type) {
  return type.replace(/(?:^|-)([a-z])/g, (_, letter) => letter.toUpperCase());
}

/**
 * What an offer is for: a change, an ICE restart, both, or nothing.
 * @typedef {{ change: boolean, iceRestart: boolean }} Need
 */
/** @returns {Need} */
const nothing = () => ({ change: false, iceRestart: false });

/**
 * @param {Need} a
 * @param {Need} b
 * @returns {Need}
 */
const both = (a, b) => ({
  change: a.change || b.change,
  iceRestart: a.iceRestart || b.iceRestart,
});

/** @param {Need} need */
const any = (need) => need.change || need.iceRestart;

/**
 * The whole state of a negotiator, a plain value.
 * @typedef {object} State
 * @property {boolean} polite
 * @property {boolean} canRollback
 * @property {boolean} canRestartIce
 * @property {number} generation the current attempt to connect; 0 before the first
 * @property {boolean} broken the generation cannot go on
 * @property {number} wanted the generation the higher has asked for
 * @property {number} round of our latest offer; never resets
 * @property {number} answering the round of the offer we apply and answer
 * @property {Need} needed what the next offer is for
 * @property {Need} offered what the outstanding offer is for
 * @property {Waiting[]} inbox
 * @property {SignalingState} state as far as the engine has confirmed it
 * @property {boolean} first no offer of this connection has been answered yet
 * @property {Operation | null} inFlight
 * @property {CandidateInit[]} candidates of one signal, to be added
 * @property {CandidateInit[]} held ours, found before their description
 * @property {string[]} remoteUfrags
 */

/** One session's half of a negotiation. */
export class Negotiator {
  /** @type {State} */
  #s;

  /**
   * @param {boolean} polite we are the lower of the two sessions
   * @param {{ rollback: boolean, iceRestart: boolean }} [capabilities] of the engine
   */
  constructor(polite, { rollback, iceRestart } = { rollback: true, iceRestart: true }) {
    this.#s = {
      polite,
      canRollback: rollback,
      canRestartIce: iceRestart,
      generation: 0,
      broken: false,
      wanted: 0,
      round: 0,
      answering: 0,
      needed: nothing(),
      offered: nothing(),
      inbox: [],
      state: "stable",
      first: true,
      inFlight: null,
      candidates: [],
      held: [],
      remoteUfrags: [],
    };
  }

  /** The current attempt to connect; 0 before the first. */
  get generation() {
    return this.#s.generation;
  }

  /** Whether the engine is at rest, so that nothing is left to negotiate either. */
  get settled() {
    const s = this.#s;
    return s.generation >= Math.max(1, s.wanted) && !s.broken && s.state === "stable"
      && s.inFlight === null;
  }

  /** Return the whole state as a plain value. @returns {State} */
  snapshot() {
    return structuredClone(this.#s);
  }

  /**
   * Return a negotiator in exactly that state.
   * @param {State} state
   */
  static restore(state) {
    const negotiator = new Negotiator(state.polite);
    negotiator.#s = structuredClone(state);
    return negotiator;
  }

  /**
   * Take one event; return what to do, in order. Never throws for what a peer did.
   * @param {NegotiationEvent} event
   * @returns {NegotiationOutput[]}
   */
  handle(event) {
    /** @type {NegotiationOutput[]} */
    const out = [];
    this.#take(event, out);
    this.#advance(out);
    return out;
  }

  // --- events -------------------------------------------------------------------

  /**
   * @param {NegotiationEvent} event
   * @param {NegotiationOutput[]} out
   */
  #take(event, out) {
    const s = this.#s;
    switch (event.type) {
      case "begin":
        if (s.generation === 0 && (s.polite || event.force)) this.#openAndOffer(1, out);
        break;
      case "change":
        if (event.iceRestart && !s.canRestartIce) this.#replace(out);
        else if (event.iceRestart) s.needed.iceRestart = true;
        else s.needed.change = true;
        break;
      case "replace":
        this.#replace(out);
        break;
      case "received":
        this.#receive(event.body, out);
        break;
      case "candidate-found":
        this.#found(event.candidate, out);
        break;
      case "operation-done":
        this.#done(event.description, out);
        break;
      case "operation-failed":
        this.#failed(event.operation, event.reason, out);
        break;
    }
  }

  /** @param {NegotiationOutput[]} out */
  #replace(out) {
    const s = this.#s;
    if (s.polite) {
      this.#openAndOffer(s.generation + 1, out);
    } else {
      s.wanted = s.generation + 1;
      out.push({ type: "send-body", body: { kind: "restart", wanted: s.wanted } });
    }
  }

  /**
   * Act at once on what ends this generation; the rest waits its turn.
   * @param {SignalBody} body
   * @param {NegotiationOutput[]} out
   */
  #receive(body, out) {
    const s = this.#s;
    if (body.kind === "restart") {
      this.#asked(body.wanted, out);
      return;
    }
    if (body.kind === "offer" && this.#accepts(body.generation)) this.#open(body.generation, out);
    if (body.generation < s.generation) {
      out.push(ignored("stale-generation"));
    } else if (body.generation > s.generation) {
      out.push(ignored("unopened-generation", true));
    } else if (s.broken) {
      out.push(ignored("broken-generation"));
    } else if (s.inbox.length === INBOX_LIMIT) {
      this.#break(`${INBOX_LIMIT} signals are waiting for the engine`, out);
    } else {
      s.inbox.push(body);
    }
  }

  /**
   * @param {number} wanted
   * @param {NegotiationOutput[]} out
   */
  #asked(wanted, out) {
    const s = this.#s;
    // The higher may have opened generation 1 by force, and we not know of it yet.
    if (!s.polite || wanted > Math.max(s.generation, 1) + 1) {
      out.push(ignored("impossible-restart", true));
    } else if (wanted <= s.generation) {
      out.push(ignored("stale-restart"));
    } else {
      this.#openAndOffer(wanted, out);
    }
  }

  /**
   * Tell whether the other side may open this generation: the lower always may.
   * @param {number} generation
   */
  #accepts(generation) {
    const s = this.#s;
    return s.polite ? s.generation === 0 && generation === 1 : generation > s.generation;
  }

  /**
   * Send a candidate of ours, but not before the description it belongs to.
   * @param {CandidateInit} candidate
   * @param {NegotiationOutput[]} out
   */
  #found(candidate, out) {
    const s = this.#s;
    if (s.inFlight?.type === "make-offer" || s.inFlight?.type === "make-answer") {
      s.held.push(candidate);
    } else if (!s.broken) {
      const { generation } = s;
      out.push({
        type: "send-body",
        body: { kind: "candidates", generation, candidates: [candidate] },
      });
    }
  }

  // --- results of the engine ------------------------------------------------------

  /**
   * @param {{ type: "offer" | "answer", sdp: string } | null} made
   * @param {NegotiationOutput[]} out
   */
  #done(made, out) {
    const s = this.#s;
    const operation = s.inFlight;
    s.inFlight = null;
    switch (operation?.type) {
      case "make-offer":
        s.state = "have-local-offer";
        this.#introduce(made, out);
        break;
      case "make-answer":
        s.state = "stable";
        s.first = false;
        this.#introduce(made, out);
        break;
      case "apply-remote":
        this.#applied(operation.description);
        break;
      case "roll-back":
        s.state = "stable";
        s.needed = both(s.needed, s.offered);
        s.offered = nothing();
        break;
      default: // a candidate, or what was in flight when the generation broke
    }
  }

  /** @param {{ type: "offer" | "answer", sdp: string }} remote */
  #applied(remote) {
    const s = this.#s;
    const ufrags = ufragsOf(remote.sdp);
    if (remote.type === "answer") {
      s.state = "stable";
      s.first = false;
      s.offered = nothing();
    } else {
      s.state = "have-remote-offer";
      // Their ICE restart is ours too (RFC 8839, section 4.4.1.1.1).
      if (!ufrags.some((ufrag) => s.remoteUfrags.includes(ufrag))) s.needed.iceRestart = false;
    }
    s.remoteUfrags = ufrags;
  }

  /**
   * Send the description the engine made, then the candidates held for it.
   * @param {{ type: "offer" | "answer", sdp: string } | null} made
   * @param {NegotiationOutput[]} out
   */
  #introduce(made, out) {
    if (made === null) throw new Error("an engine returns the description it made");
    const s = this.#s;
    const { generation } = s;
    /** @type {SignalBody} */
    const body = made.type === "offer"
      ? { kind: "offer", generation, round: s.round, offer: made }
      : { kind: "answer", generation, round: s.answering, answer: made };
    out.push({ type: "send-body", body });
    const held = s.held;
    s.held = [];
    for (const candidate of held) this.#found(candidate, out);
  }

  /**
   * @param {Operation} operation
   * @param {string} reason
   * @param {NegotiationOutput[]} out
   */
  #failed(operation, reason, out) {
    const s = this.#s;
    s.inFlight = null;
    if (operation.type === "add-candidate") out.push(ignored(`candidate refused: ${reason}`));
    else if (!s.broken) this.#break(`${nameOf(operation.type)} failed: ${reason}`, out);
  }

  /**
   * @param {string} reason
   * @param {NegotiationOutput[]} out
   */
  #break(reason, out) {
    const s = this.#s;
    s.broken = true;
    s.inFlight = null;
    out.push({ type: "broken", reason });
  }

  // --- what to do next --------------------------------------------------------------

  /**
   * Give the engine its next operation, if it is free and there is one.
   * @param {NegotiationOutput[]} out
   */
  #advance(out) {
    const s = this.#s;
    while (s.generation > 0 && !s.broken && s.inFlight === null) {
      const [body] = s.inbox;
      if (s.state === "have-remote-offer") {
        this.#perform({ type: "make-answer" }, out);
      } else if (s.candidates.length > 0) {
        const candidate = /** @type {CandidateInit} */ (s.candidates.shift());
        this.#perform({ type: "add-candidate", candidate }, out);
      } else if (body !== undefined) {
        this.#judge(body, out);
      } else if (any(s.needed) && s.state === "stable") {
        this.#offer(out);
      } else {
        return;
      }
    }
  }

  /**
   * Decide on the head of the inbox, in a settled state of the engine.
   * @param {Waiting} body
   * @param {NegotiationOutput[]} out
   */
  #judge(body, out) {
    const s = this.#s;
    if (body.kind === "offer") {
      if (s.state === "have-local-offer" && s.polite) {
        this.#yieldToOffer(out);
        return; // it is judged again once nothing is in its way
      }
      if (s.state === "have-local-offer") {
        out.push(ignored("glare"));
      } else {
        s.answering = body.round;
        this.#perform({ type: "apply-remote", description: body.offer }, out);
      }
    } else if (body.kind === "answer") {
      this.#judgeAnswer(body, out);
    } else {
      this.#sort(body, out);
    }
    s.inbox.shift();
  }

  /**
   * Withdraw our offer in favour of theirs: a first offer with its connection.
   * @param {NegotiationOutput[]} out
   */
  #yieldToOffer(out) {
    const s = this.#s;
    if (s.first) this.#connect(out);
    else if (s.canRollback) this.#perform({ type: "roll-back" }, out);
    else this.#openAndOffer(s.generation + 1, out);
  }

  /**
   * @param {Extract<SignalBody, { kind: "answer" }>} body
   * @param {NegotiationOutput[]} out
   */
  #judgeAnswer(body, out) {
    const s = this.#s;
    if (body.round > s.round) out.push(ignored("answer-to-no-offer", true));
    else if (body.round < s.round || s.state !== "have-local-offer") {
      out.push(ignored("stale-round"));
    } else this.#perform({ type: "apply-remote", description: body.answer }, out);
  }

  /**
   * Keep the candidates of the remote description we have.
   * @param {Extract<SignalBody, { kind: "candidates" }>} body
   * @param {NegotiationOutput[]} out
   */
  #sort(body, out) {
    const s = this.#s;
    for (const candidate of body.candidates) {
      if (s.remoteUfrags.includes(candidate.usernameFragment)) s.candidates.push(candidate);
      else out.push(ignored("foreign-candidate"));
    }
  }

  // --- steps --------------------------------------------------------------------------

  /**
   * @param {Operation} operation
   * @param {NegotiationOutput[]} out
   */
  #perform(operation, out) {
    this.#s.inFlight = operation;
    out.push(operation);
  }

  /** @param {NegotiationOutput[]} out */
  #offer(out) {
    const s = this.#s;
    s.round += 1;
    s.offered = s.needed;
    s.needed = nothing();
    this.#perform({ type: "make-offer", iceRestart: s.offered.iceRestart }, out);
  }

  /**
   * Start over with a fresh connection; what was not agreed on is still owed.
   * @param {NegotiationOutput[]} out
   */
  #connect(out) {
    const s = this.#s;
    s.state = "stable";
    s.first = true;
    s.inFlight = null;
    s.candidates = [];
    s.held = [];
    s.remoteUfrags = [];
    s.needed = { change: s.needed.change || s.offered.change, iceRestart: false };
    s.offered = nothing();
    s.broken = false;
    out.push({ type: "open-connection", generation: s.generation });
  }

  /**
   * Enter a new generation; what waits belongs to the old one.
   * @param {number} generation
   * @param {NegotiationOutput[]} out
   */
  #open(generation, out) {
    const s = this.#s;
    for (const _ of s.inbox) out.push(ignored("stale-generation"));
    s.inbox = [];
    s.generation = generation;
    this.#connect(out);
  }

  /**
   * @param {number} generation
   * @param {NegotiationOutput[]} out
   */
  #openAndOffer(generation, out) {
    this.#open(generation, out);
    this.#offer(out);
  }
}
