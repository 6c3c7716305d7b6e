/**
 * What the page says, where more than a word is needed: one honest sentence each.
 * @module
 */

import { displayed } from "../chat.js";
import {
  IdentityMismatch, IncompatiblePeer, InvalidSignature, Kicked, MeshError, MessageTooLarge,
  NotAMember, ProtocolMismatch, Replaced, RoomFull, SecretWanted, ServerUnreachable, Unauthorized,
  Unsigned, WrongContext,
} from "../errors.js";

/** @typedef {import("../events.js").MeshEvent} MeshEvent */
/** @typedef {import("../events.js").Peer} Peer */
/** @typedef {{ text: string, action?: "Try again" | "Use this tab" | "Reload" }} Explanation */

/** What a room may be called. */
export const ROOM_RULE = "a room has 1 to 64 letters, digits, dots, dashes or underscores.";

/**
 * Return why this browser cannot join any room here; null if it can.
 * @param {{ crypto?: Crypto, RTCPeerConnection?: unknown }} [browser]
 */
export function obstacle(browser = globalThis) {
  if (browser.crypto?.subtle === undefined) {
    return "This page is not secure, so the browser lends it no cryptography. Open it by https "
      + "or on localhost; the server can do https by itself: thkmesh serve --tls-self-signed";
  }
  if (browser.RTCPeerConnection === undefined) {
    return "This browser has no WebRTC, or it is switched off, so nobody could be connected. "
      + "Any current browser will do.";
  }
  return null;
}

/**
 * Return why we are not in a room, and what can be done.
 * @param {unknown} error
 * @param {string} room
 * @returns {Explanation}
 */
export function explain(error, room) {
  if (error instanceof RoomFull) {
    const text = `${room} is full. Wait until somebody leaves, or choose another room.`;
    return { text, action: "Try again" };
  }
  if (error instanceof Replaced) {
    const text = "You are in this room in a newer tab, so this one stepped back.";
    return { text, action: "Use this tab" };
  }
  if (error instanceof ProtocolMismatch) {
    const text = "This page and the server speak different versions of THKMesh.";
    return { text, action: "Reload" };
  }
  if (error instanceof ServerUnreachable) {
    return { text: "The server does not answer. Still trying …" };
  }
  const reason = error instanceof Error ? displayed(error.message) : String(error);
  if (error instanceof WrongContext) return { text: sentence(reason) };
  const lock = passwordTrouble(error);
  if (lock !== null) return { text: lock, action: "Try again" };
  if (error instanceof Unauthorized) {
    return { text: `The server does not let you in: ${reason}.`, action: "Try again" };
  }
  if (error instanceof Kicked) {
    return { text: sentence(`You were ${reason}`), action: "Try again" };
  }
  if (error instanceof MeshError) return { text: sentence(reason), action: "Try again" };
  return { text: `This should not have happened: ${reason}.`, action: "Reload" };
}

/**
 * Return what to say if a password is what is missing; null if it is not.
 * @param {unknown} error
 */
export function passwordTrouble(error) {
  if (!(error instanceof Unauthorized)) return null;
  if (error.message.endsWith(": password-required")) return "This server asks for a password.";
  return error.message.endsWith(": password-wrong") ? "That is not the password." : null;
}

/**
 * Return what to say of something that was refused.
 * @param {Extract<MeshEvent, { type: "refused" }>} event
 * @param {(peer: Peer) => string} nameOf
 */
export function suspicion({ error, peer }, nameOf) {
  const who = peer === null ? "somebody" : nameOf(peer);
  if (error instanceof IncompatiblePeer) {
    return `${peer === null ? "Somebody" : who} speaks another version of THKMesh, so you two `
      + "cannot be connected.";
  }
  if (error instanceof NotAMember) {
    return `Somebody is kept out of this private room: ${displayed(error.message)}.`;
  }
  if (error instanceof SecretWanted) {
    return "This room is private, and you came by its name alone, so nobody connects to you. Ask "
      + `for the whole link: ${displayed(error.message)}.`;
  }
  const claim = `Something that claims to come from ${who} was refused`;
  if (error instanceof InvalidSignature || error instanceof Unsigned) {
    return `${claim}: its signature is not theirs. The server, or somebody on the way, may have `
      + "tampered with it.";
  }
  if (error instanceof IdentityMismatch) {
    return `${claim}: the identity is not theirs. The server, or somebody on the way, may have `
      + "made it up.";
  }
  return `${claim}: it does not follow the protocol. It had no effect.`;
}

/**
 * Return why a message was not sent.
 * @param {unknown} error
 */
export function unsent(error) {
  if (error instanceof MessageTooLarge) return "Not sent: that is longer than a message may be.";
  return `Not sent: ${displayed(error instanceof Error ? error.message : String(error))}.`;
}

/**
 * Return who is typing, in parts of which some are names; none if nobody is.
 * @param {string[]} names
 * @returns {(string | { name: string })[]}
 */
export function typists(names) {
  const [one, other, ...more] = names;
  if (one === undefined) return [];
  if (other === undefined) return [{ name: one }, " is typing …"];
  if (more.length > 0) return ["Several people are typing …"];
  return [{ name: one }, " and ", { name: other }, " are typing …"];
}

/**
 * Return what happened to a peer, in one word or two.
 * @param {import("../events.js").LeaveReason} reason
 */
export function departure(reason) {
  if (reason === "left") return "left";
  if (reason === "kicked") return "was removed";
  return reason === "replaced" ? "came back elsewhere" : "is gone";
}

/**
 * Return what is told of who was removed.
 * @param {string} why
 */
export function removal(why) {
  return `was removed from the room${why && ": "}${displayed(why)}`;
}

/** @typedef {import("../events.js").Quality} Quality */

/**
 * Return how it goes to a peer that is connected: what most people want to know.
 * @param {Quality | null} quality
 */
export function connection(quality) {
  if (quality === null) return "connected";
  return `${quality.grade}, ${milliseconds(quality)}`;
}

/**
 * Return how it goes to a peer that is reached through the server.
 * @param {Quality | null} quality
 */
export function throughServer(quality) {
  const way = "relayed by the server";
  return quality === null ? way : `${way}, ${milliseconds(quality)}`;
}

/** @param {Quality} quality */
function milliseconds({ rtt }) {
  return `${rtt < 0.001 ? "< 1" : Math.round(rtt * 1000)} ms`;
}

/**
 * Return the rest of what is known of the way to a peer, in short.
 * @param {Quality | null} quality
 */
export function pathFacts(quality) {
  const facts = [];
  if (quality !== null && quality.loss >= 0.01) {
    facts.push(`${Math.round(quality.loss * 100)} % lost`);
  }
  const path = quality?.path ?? null;
  if (path !== null && path.local !== null) {
    const { local, remote, protocol } = path;
    facts.push(local === "relay" || remote === "relay" ? "relayed" : "direct");
    facts.push(remote ? `${local} – ${remote}` : local);
    if (protocol) facts.push(protocol.toUpperCase());
  }
  return facts;
}

/**
 * Return who is here and how the links are, in short: the number, and the rest.
 * @param {readonly string[]} states of the links to the others
 * @returns {[string, string]}
 */
export function attendance(states) {
  const number = String(states.length + 1);
  if (states.length === 0) return [number, " here"];
  const connected = states.filter((state) => state === "connected").length;
  const links = connected === states.length ? "all" : `${connected} of ${states.length}`;
  return [number, ` here, ${links} connected`];
}

/** @param {string} text */
function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?)]$/.test(whole) ? whole : `${whole}.`;
}
