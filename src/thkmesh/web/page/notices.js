/**
 * The lines under the header: what is wrong right now, one line each.
 * @module
 */

import { h, setText } from "./dom.js";

/** @typedef {"info" | "warning" | "error"} Tone */
/** @typedef {{ text: string, tone?: Tone, action?: string, act?: () => void }} Notice */

/** Shows at most one line for each kind of trouble. */
export class Notices {
  #region;
  /** @type {Map<string, HTMLElement>} */
  #lines = new Map();

  /** @param {HTMLElement} region */
  constructor(region) {
    this.#region = region;
  }

  /**
   * Show a line in place of the former of its kind; null takes that away.
   * @param {string} kind
   * @param {Notice | null} notice
   */
  show(kind, notice) {
    const former = this.#lines.get(kind);
    if (notice === null) {
      former?.remove();
      this.#lines.delete(kind);
      return;
    }
    const { text, tone = "warning", action, act } = notice;
    const shown = former?.querySelector("p");
    if (shown && former?.dataset.tone === tone && former.dataset.action === (action ?? "")) {
      setText(shown, text);
      return;
    }
    const line = h("div", { class: "notice", "data-tone": tone, "data-action": action ?? "" });
    line.append(h("p", {}, text));
    if (action !== undefined && act !== undefined) {
      const button = h("button", { type: "button" }, action);
      button.addEventListener("click", act);
      line.append(button);
    }
    if (former) former.replaceWith(line);
    else this.#region.append(line);
    this.#lines.set(kind, line);
  }

  /** Take all lines away. */
  clear() {
    for (const kind of [...this.#lines.keys()]) this.show(kind, null);
  }
}
