/**
 * The way in: your name, and the room you want.
 * @module
 */

import { found, h, setText } from "./dom.js";
import { readableName, roomOf } from "./names.js";

/** The form that asks for what is not known yet. */
export class Entrance {
  #memory;
  #name = found("input", "name");
  #room = found("input", "wanted");

  /**
   * @param {import("./memory.js").Memory} memory
   * @param {(room: string) => void} enter
   */
  constructor(memory, enter) {
    this.#memory = memory;
    found("form", "entrance").addEventListener("submit", (event) => {
      event.preventDefault();
      const room = roomOf(this.#room.value);
      if (room === null) return;
      memory.name = this.#name.value.trim();
      enter(room);
    });
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
   * @param {boolean} possible false if nothing can be joined here
   */
  show(invited, possible) {
    const room = invited === null ? null : roomOf(invited);
    setText(found("h2", "greeting"), room === null ? "Talk directly" : `Join ${room}`);
    this.#name.value = this.#memory.name;
    this.#room.value = room ?? readableName();
    found("div", "whereto").hidden = room !== null;
    found("button", "enter").disabled = !possible;
    this.#validate();
    this.#showFormer();
    if (matchMedia("(pointer: fine)").matches) {
      const known = this.#name.value !== "" && room === null;
      (known ? this.#room : this.#name).focus();
    }
  }

  #validate() {
    const named = this.#name.value.trim() !== "";
    this.#name.setCustomValidity(named ? "" : "Say what the others may call you.");
    const fits = roomOf(this.#room.value) !== null;
    const rule = "A room has 1 to 64 letters, digits, dots, dashes or underscores.";
    this.#room.setCustomValidity(fits ? "" : rule);
  }

  #showFormer() {
    const rooms = this.#memory.rooms;
    found("section", "former").hidden = rooms.length === 0;
    found("ul", "rooms").replaceChildren(...rooms.map((room) => {
      const forget = h("button", { type: "button", class: "quiet", "aria-label": `Forget ${room}` },
        "Forget");
      forget.addEventListener("click", () => {
        this.#memory.forget(room);
        this.#showFormer();
      });
      return h("li", {}, h("a", { href: `#${room}` }, room), forget);
    }));
  }
}
