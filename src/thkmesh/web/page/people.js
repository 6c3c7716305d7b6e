/**
 * Who is here, and how the link to each of them is.
 * @module
 */

import { displayed } from "../chat.js";
import { h, setText } from "./dom.js";
import { pathFacts } from "./words.js";

/** @typedef {import("../chat.js").Chat} Chat */
/** @typedef {import("../events.js").Peer} Peer */
/** @typedef {import("../room.js").Room} Room */
/** @typedef {Awaited<ReturnType<Room["stats"]>>} Stats */

/** Seconds without a connection after which we say what may be the reason. */
const PATIENCE = 15.0;

/** The list of those who are in the room. */
export class People {
  #list;
  /** @type {Map<string, Row>} */
  #rows = new Map();

  /** @param {HTMLElement} list */
  constructor(list) {
    this.#list = list;
  }

  /**
   * Show who is here now.
   * @param {Room} room
   * @param {Chat} chat
   */
  show(room, chat) {
    const present = [room.me, ...room.peers];
    const keys = new Set(present.map(keyOf));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      this.#rows.delete(key);
    }
    for (const peer of present) {
      let row = this.#rows.get(keyOf(peer));
      if (row === undefined) {
        row = peer === room.me ? new Row(peer, null) : new Row(peer, room);
        this.#rows.set(keyOf(peer), row);
        this.#list.append(row.element);
      }
      row.show(chat.nameOf(peer), peer === room.me ? null : room.link(peer));
    }
  }

  /**
   * Ask the browser for the ways to everybody, and show them.
   * @param {Room} room
   */
  async measure(room) {
    const all = room.peers.map(async (peer) => {
      const stats = await room.stats(peer).catch(() => null);
      this.#rows.get(keyOf(peer))?.showPath(stats);
    });
    await Promise.all(all);
  }

  /** Show nobody. */
  clear() {
    this.#rows.clear();
    this.#list.replaceChildren();
  }
}

/** One of them. */
class Row {
  element;
  #name = h("span", { class: "name", dir: "auto" });
  #state = h("span", { class: "state" });
  #facts = h("ul", { class: "facts" });
  #hint = h("p", { class: "hint" });
  #button = h("button", { type: "button", class: "quiet" }, "Reconnect");
  #role = "";
  /** @type {string[]} */
  #path = [];
  /** @type {number | null} */
  #waitingSince = null;

  /**
   * @param {Peer} peer
   * @param {Room | null} room null for ourselves
   */
  constructor(peer, room) {
    const who = h("div", { class: "who" }, this.#name, this.#state);
    this.element = h("li", {}, avatar(peer), who);
    if (room === null) {
      setText(this.#state, "you");
    } else {
      this.#button.addEventListener("click", () => room.reconnect(peer));
      this.element.append(this.#button, this.#facts, this.#hint);
    }
  }

  /**
   * @param {string} name
   * @param {import("../room.js").LinkView | null} link
   */
  show(name, link) {
    setText(this.#name, name);
    if (link === null) return;
    this.#button.setAttribute("aria-label", `Reconnect to ${name}`);
    this.element.dataset.state = link.state;
    setText(this.#state, link.state);
    this.#role = link.polite ? "polite" : "impolite";
    if (link.state === "connected") this.#waitingSince = null;
    else this.#waitingSince ??= performance.now();
    const waited = (performance.now() - (this.#waitingSince ?? performance.now())) / 1000;
    setText(this.#hint, waited < PATIENCE ? "" : "No way found yet, still trying. Some networks "
      + "can be crossed with a TURN server only.");
    if (link.state !== "connected") this.#path = [];
    this.#showFacts();
  }

  /** @param {Stats} stats */
  showPath(stats) {
    this.#path = this.element.dataset.state === "connected" ? pathFacts(stats) : [];
    this.#showFacts();
  }

  #showFacts() {
    const facts = [this.#role, ...this.#path];
    for (const [index, fact] of facts.entries()) {
      const item = this.#facts.children[index] ?? this.#facts.appendChild(h("li"));
      setText(item, fact);
    }
    while (this.#facts.children.length > facts.length) this.#facts.lastElementChild?.remove();
  }
}

/**
 * Return a round letter in a colour of the peer's own.
 * @param {Peer} peer
 */
export function avatar(peer) {
  const [letter = "?"] = displayed(peer.name).trim() || peer.id;
  const element = h("span", { class: "avatar", "aria-hidden": "true" }, letter.toUpperCase());
  const hue = [...peer.id].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) % 360, 0);
  element.style.setProperty("--hue", String(hue));
  return element;
}

/** @param {Peer} peer */
const keyOf = ({ id, sid }) => `${id}.${sid}`;
