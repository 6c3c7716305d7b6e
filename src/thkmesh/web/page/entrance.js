/**
 * The way in: your name, and the room you want.
 * @module
 */

import { fragmentOf, newSecret, placeOf } from "../invitation.js";
import { found, h, setText } from "./dom.js";
import { isName, readableName, roomOf } from "./names.js";
import { ROOM_RULE } from "./words.js";

/** The form that asks for what is not known yet. */
export class Entrance {
  #memory;
  #name = found("input", "name");
  #room = found("input", "wanted");
  #private = found("input", "private");
  /** That of the room that a link leads to. @type {string | null} */
  #secret = null;

  /**
   * @param {import("./memory.js").Memory} memory
   * @param {(place: string) => void} enter gets a room, with its secret as in a link
   */
  constructor(memory, enter) {
    this.#memory = memory;
    found("form", "entrance").addEventListener("submit", (event) => {
      event.preventDefault();
      const room = roomOf(this.#room.value);
      if (room === null) return;
      memory.name = this.#name.value.trim();
      enter(fragmentOf(room, this.#private.checked ? newSecret() : this.#secret));
    });
    this.#private.addEventListener("change", () => this.#explain());
    for (const field of [this.#name, this.#room]) {
      field.addEventListener("input", () => this.#validate());
    }
    found("button", "another").addEventListener("click", () => {
      this.#room.value = readableName();
      this.#validate();
    });
  }

  /**
   * Ask for what is missing.
   * @param {string | null} invited the room that a link leads to
   * @param {string | null} secret that of the room, if it has one
   * @param {boolean} possible false if nothing can be joined here
   */
  show(invited, secret, possible) {
    this.#secret = secret;
    this.#private.checked = false;
    this.#explain();
    const room = invited === null ? null : roomOf(invited);
    setText(found("h2", "greeting"), room === null ? "Talk directly" : `Join ${room}`);
    this.#name.value = this.#memory.name;
    this.#room.value = room ?? readableName();
    found("div", "whereto").hidden = room !== null;
    found("button", "enter").disabled = !possible;
    this.#validate();
    this.#showFormer();
    // A keyboard on the screen would cover the form: there the title is read first.
    const typing = matchMedia("(pointer: fine)").matches;
    const known = isName(this.#name.value) && room === null;
    (typing ? (known ? this.#room : this.#name) : found("h2", "greeting")).focus();
  }

  #validate() {
    const name = this.#name.value;
    const ask = "Say what the others may call you.";
    const trouble = name.trim() === "" ? ask : "A name has up to 64 characters.";
    this.#name.setCustomValidity(isName(name) ? "" : trouble);
    const rule = ROOM_RULE.replace("a room", "A room");
    this.#room.setCustomValidity(roomOf(this.#room.value) === null ? rule : "");
  }

  #explain() {
    setText(found("span", "open"), this.#private.checked
      ? "Whoever has the link can come in, and nobody else: not even the server lets them."
      : "Whoever knows the name can come in.");
  }

  #showFormer() {
    const rooms = this.#memory.rooms;
    found("section", "former").hidden = rooms.length === 0;
    found("ul", "rooms").replaceChildren(...rooms.map((place) => {
      const { room, secret } = placeOf({ hash: place, search: "" });
      const name = secret === null ? `${room}` : `${room} (private)`;
      const forget = h("button", { type: "button", class: "quiet", "aria-label": `Forget ${name}` },
        "Forget");
      forget.addEventListener("click", () => {
        this.#memory.forget(place);
        this.#showFormer();
      });
      return h("li", {}, h("a", { href: `#${place}` }, name), forget);
    }));
  }
}
