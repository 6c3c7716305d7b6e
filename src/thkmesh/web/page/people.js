/**
 * Who is here, and how the link to each of them is.
 * @module
 */

import { displayed } from "../chat.js";
import { h, setText } from "./dom.js";
import { connection, pathFacts, throughServer } from "./words.js";

/** @typedef {import("../chat.js").Chat} Chat */
/** @typedef {import("../events.js").Peer} Peer */
/** @typedef {import("../room.js").Room} Room */

/** Seconds without a connection after which we say what may be the reason. */
const PATIENCE = 15.0;

/** The list of those who are in the room. */
export class People {
  #list;
  #rename;
  /** @type {Map<string, Row>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} list
   * @param {() => void} rename we want another name
   */
  constructor(list, rename) {
    this.#list = list;
    this.#rename = rename;
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
        row = peer === room.me
          ? new Row(peer, "Change name", this.#rename)
          : new Row(peer, "Reconnect", () => room.reconnect(peer));
        this.#rows.set(keyOf(peer), row);
        this.#list.append(row.element);
      }
      row.show(chat.nameOf(peer), peer === room.me ? null : room.link(peer));
    }
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
  #name = h("bdi");
  #line = h("span", { class: "name" }, this.#name);
  #state = h("span", { class: "state" });
  #facts = h("ul", { class: "facts" });
  #hint = h("p", { class: "hint" });
  #button;
  #relayed = false;
  /** @type {number | null} */
  #waitingSince = null;

  /**
   * @param {Peer} peer
   * @param {string} action what the button says
   * @param {() => void} act
   */
  constructor(peer, action, act) {
    this.#button = h("button", { type: "button", class: "quiet" }, action);
    this.#button.addEventListener("click", act);
    const how = h("div", { class: "how" }, this.#state, this.#button);
    const who = h("div", { class: "who" }, this.#line, how, this.#facts, this.#hint);
    this.element = h("li", {}, avatar(peer), who);
    setText(this.#state, "you");
  }

  /**
   * @param {string} name
   * @param {import("../room.js").LinkView | null} link null to ourselves
   */
  show(name, link) {
    setText(this.#name, name);
    this.#line.title = name; // the whole of it
    if (link === null) return;
    this.#button.setAttribute("aria-label", `Reconnect to ${name}`);
    this.element.dataset.state = link.state;
    this.#button.classList.toggle("quiet", link.state === "connected");
    if (link.state === "connected") this.#waitingSince = null;
    else this.#waitingSince ??= performance.now();
    const waited = (performance.now() - (this.#waitingSince ?? performance.now())) / 1000;
    this.#relayed = link.path === "relay";
    const found = this.#relayed
      ? "No direct way found yet, so messages go through the server, which cannot read them. "
      : "No way found yet, still trying. ";
    setText(this.#hint, waited < PATIENCE ? "" : `${found}Some networks can be crossed with a `
      + "TURN server only.");
    this.#showQuality(link);
  }

  /** @param {import("../room.js").LinkView} link */
  #showQuality({ state, quality, polite }) {
    const otherwise = this.#relayed ? throughServer(quality) : state;
    setText(this.#state, state === "connected" ? connection(quality) : otherwise);
    this.element.dataset.grade = quality?.grade ?? "";
    const facts = [...pathFacts(quality), polite ? "polite" : "impolite"];
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
