/**
 * What was said, as it is shown.
 * @module
 */

import { displayed, HISTORY_LENGTH } from "../chat.js";
import { h } from "./dom.js";

/**
 * Something to show: said now, or remembered.
 * @typedef {object} Line
 * @property {string} key of who said it; lines of one author that follow each other are one
 * @property {string} name
 * @property {string} content
 * @property {Date} timestamp
 * @property {boolean} mine
 * @property {string} [note] such as `to you alone`
 */

/** Milliseconds between two lines of one author from which they are apart. */
const PAUSE_MS = 5 * 60 * 1000;
/** Characters and lines of a message that are shown before somebody asks for more. */
const SHOWN_CHARACTERS = 2000;
const SHOWN_LINES = 24;
/** Pixels from the end that still count as reading along. */
const NEAR = 80;

/** The log of messages, scrolled along while its reader is at the end. */
export class Conversation {
  #log;
  #newer;
  /** @type {{ key: string, time: number } | null} */
  #last = null;

  /**
   * @param {HTMLElement} log
   * @param {HTMLElement} newer leads to the end when messages have come unseen
   * @param {AbortSignal} over when the log shows another conversation
   */
  constructor(log, newer, over) {
    this.#log = log;
    this.#newer = newer;
    newer.addEventListener("click", () => this.#toEnd(), { signal: over });
    log.addEventListener("scroll", () => {
      if (this.#atEnd) this.#newer.hidden = true;
    }, { passive: true, signal: over });
    const resized = new ResizeObserver(() => {
      if (this.#newer.hidden) this.#toEnd();
    });
    resized.observe(log);
    over.addEventListener("abort", () => resized.disconnect());
  }

  /**
   * Show something that was said.
   * @param {Line} line
   */
  say({ key, name, content, timestamp, mine, note }) {
    const time = timestamp.getTime();
    const follows = this.#last?.key === key && Math.abs(time - this.#last.time) < PAUSE_MS;
    this.#last = { key, time };
    const message = h("div", { class: `message${mine ? " mine" : ""}${follows ? " follows" : ""}` });
    const who = mine ? "You" : name;
    if (follows) {
      message.append(h("span", { class: "unseen" }, `${who}: `));
    } else {
      const byline = h("p", { class: "byline" }, h("b", { dir: "auto" }, who), " ", clock(timestamp));
      message.append(byline);
    }
    message.append(...words(content));
    if (note) message.append(h("p", { class: "note" }, note));
    this.#add(message);
  }

  /**
   * Tell something that happened.
   * @param {string} text
   */
  tell(text) {
    this.#last = null;
    this.#add(h("p", { class: "event", dir: "auto" }, text));
  }

  /**
   * Show an element of its own among the messages.
   * @param {HTMLElement} element
   */
  place(element) {
    this.#last = null;
    this.#add(element);
  }

  /** Show nothing. */
  clear() {
    this.#last = null;
    this.#newer.hidden = true;
    this.#log.replaceChildren();
  }

  get #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  /** @param {HTMLElement} element */
  #add(element) {
    const along = this.#atEnd || element.classList.contains("mine");
    this.#log.append(element);
    while (this.#log.children.length > HISTORY_LENGTH) this.#log.firstElementChild?.remove();
    if (along) this.#toEnd();
    else this.#newer.hidden = false;
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#newer.hidden = true;
  }
}

/**
 * Return the text of a message; a long one shows its beginning first.
 * @param {string} content
 */
function words(content) {
  const lines = content.split(/\r\n|[\n\r]/).map(displayed);
  const whole = lines.join("\n");
  const part = lines.slice(0, SHOWN_LINES).join("\n").slice(0, SHOWN_CHARACTERS);
  const text = h("p", { class: "text", dir: "auto" }, whole);
  if (part.length === whole.length) return [text];
  text.textContent = `${part.replace(/[\ud800-\udbff]$/, "")} …`;
  const more = h("button", { type: "button", class: "quiet more" }, "Show all");
  more.addEventListener("click", () => {
    text.textContent = whole;
    more.remove();
  });
  return [text, more];
}

/** @param {Date} timestamp by the author's clock, which may be anything */
function clock(timestamp) {
  const today = timestamp.toDateString() === new Date().toDateString();
  const time = timestamp.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const text = today ? time : `${timestamp.toLocaleDateString()} ${time}`;
  return h("time", { datetime: timestamp.toISOString() }, text);
}
