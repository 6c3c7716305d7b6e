/**
 * What was said, as it is shown; and where one writes.
 * @module
 */

import { displayed, HISTORY_LENGTH } from "../chat.js";
import { found, h, NextFrame, setText } from "./dom.js";
import { unsent } from "./words.js";

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

/** What a text is made of. @typedef {{ text: string, link: boolean }} Part */

/** Milliseconds between two lines of one author from which they are apart. */
const PAUSE_MS = 5 * 60 * 1000;
/** Characters and lines of a message that are shown before somebody asks for more. */
const SHOWN_CHARACTERS = 2000;
const SHOWN_LINES = 24;
/** Pixels from the end that still count as reading along. */
const NEAR = 80;
/** Pixels above a card that is longer than the screen. */
const ROOM_ABOVE = 16;
const ADDRESS = /\bhttps?:\/\/[^\s<>"'\x60]+/giu;
/** What ends a sentence around an address rather than the address. */
const TAIL = ".,;:!?…)]}";
const TIME = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });

/**
 * The log of messages, scrolled along while its reader is at the end.
 *
 * To add to it costs a layout, and everybody in the room can make us add: so what comes
 * is gathered, and shown once a frame.
 */
export class Conversation {
  #log;
  #newer;
  /** @type {{ key: string, time: number } | null} */
  #last = null;
  /** What is shown at the next frame: makes each element. @type {(() => HTMLElement)[]} */
  #pending = [];
  /** One of those is our own. */
  #own = false;
  #frame = new NextFrame(() => this.#show());
  /** What stands at the end until somebody comes. @type {HTMLElement | null} */
  #card = null;

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
    over.addEventListener("abort", () => {
      resized.disconnect();
      this.clear();
    });
  }

  /**
   * Show something that was said.
   * @param {Line} line
   */
  say({ key, name, content, timestamp, mine, note }) {
    const time = timestamp.getTime();
    const follows = this.#last?.key === key && Math.abs(time - this.#last.time) < PAUSE_MS;
    this.#last = { key, time };
    const who = mine ? "You" : name;
    const kind = `message${mine ? " mine" : ""}${follows ? " follows" : ""}`;
    const byline = () => (follows
      ? h("span", { class: "unseen" }, `${who}: `)
      : h("p", { class: "byline" }, h("b", { dir: "auto" }, who), " ", clock(timestamp)));
    this.#own ||= mine;
    this.#add(() => h("div", { class: kind }, byline(), ...words(content),
      ...(note ? [h("p", { class: "note" }, note)] : [])));
  }

  /**
   * Tell something that happened.
   * @param {string} name of whom; empty if of nobody
   * @param {string} text
   */
  tell(name, text) {
    this.#last = null;
    this.#add(() => h("p", { class: "event" }, ...(name ? [h("bdi", {}, name), " "] : []), text));
  }

  /**
   * Show a card at the end, from its beginning; null takes it away.
   * @param {HTMLElement | null} card
   */
  place(card) {
    this.#last = null;
    this.#show();
    this.#card?.remove();
    this.#card = card;
    if (card !== null) this.#log.append(card);
    if (card !== null || this.#atEnd) this.#toEnd();
  }

  /** Show nothing, also of what was still to be shown. */
  clear() {
    this.#last = null;
    this.#card = null;
    this.#pending = [];
    this.#own = false;
    this.#frame.cancel();
    this.#newer.hidden = true;
    this.#log.replaceChildren();
  }

  get #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#log;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  /** @param {() => HTMLElement} make */
  #add(make) {
    this.#pending.push(make);
    // Twice what is shown, so that cutting it is rare.
    if (this.#pending.length > 2 * HISTORY_LENGTH) {
      this.#pending.splice(0, this.#pending.length - HISTORY_LENGTH);
    }
    this.#frame.request();
  }

  /** Show what is pending; it is measured once before and scrolled once after. */
  #show() {
    this.#frame.cancel();
    if (this.#pending.length === 0) return;
    const along = this.#own || this.#atEnd || this.#log.lastElementChild === this.#card;
    const pending = this.#pending.slice(-HISTORY_LENGTH);
    this.#pending = [];
    this.#own = false;
    const made = pending.map((make) => make());
    const excess = this.#log.childElementCount + made.length - HISTORY_LENGTH;
    for (let count = 0; count < excess; count += 1) this.#log.firstElementChild?.remove();
    this.#log.append(...made);
    if (along) this.#toEnd();
    else this.#newer.hidden = false;
  }

  #toEnd() {
    const last = this.#log.lastElementChild;
    this.#log.scrollTop = last !== null && last === this.#card
      ? this.#card.offsetTop - ROOM_ABOVE
      : this.#log.scrollHeight;
    this.#newer.hidden = true;
  }
}

/** The field, its button, and the line that says what was not sent. */
export class Composer {
  #field = found("textarea", "message");
  #send = found("button", "send");
  #trouble = found("p", "unsent");
  #say;
  #over;
  /** What stands in the field because it was not sent; empty if that was sent since. */
  #returned = "";

  /**
   * @param {(content: string) => Promise<void>} say sends a message
   * @param {(typing: boolean) => void} typed somebody is at the keys; false if all is deleted
   * @param {AbortSignal} over when nothing is to be written any more
   */
  constructor(say, typed, over) {
    this.#say = say;
    this.#over = over;
    found("form", "composer").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    }, { signal: over });
    this.#field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      void this.#submit();
    }, { signal: over });
    this.#field.addEventListener("input", () => {
      this.#fit();
      typed(this.#field.value !== "");
    }, { signal: over });
    over.addEventListener("abort", () => {
      this.#field.value = "";
      this.#fit();
      setText(this.#trouble, "");
    });
  }

  /**
   * @param {boolean} open whether something can be written
   * @param {string} placeholder
   */
  show(open, placeholder) {
    this.#field.disabled = this.#send.disabled = !open;
    this.#field.placeholder = placeholder;
  }

  /** Be where the keys go. */
  focus() {
    this.#field.focus();
  }

  async #submit() {
    const content = this.#field.value;
    if (this.#field.disabled || content.trim() === "") return;
    this.#field.value = "";
    this.#returned = "";
    this.#fit();
    try {
      await this.#say(content);
      if (this.#returned === "") setText(this.#trouble, "");
    } catch (error) {
      if (this.#over.aborted) return;
      this.#giveBack(content);
      setText(this.#trouble, unsent(error));
    }
  }

  /**
   * Put what was not sent before what has been written since, after what came back before.
   * @param {string} content
   */
  #giveBack(content) {
    const { value, selectionEnd } = this.#field;
    const earlier = value.startsWith(this.#returned) ? this.#returned : "";
    const later = value.slice(earlier.length).replace(/^\n/, "");
    this.#returned = earlier === "" ? content : `${earlier}\n${content}`;
    this.#field.value = later === "" ? this.#returned : `${this.#returned}\n${later}`;
    const caret = this.#field.value.length - (value.length - selectionEnd);
    this.#field.setSelectionRange(caret, caret);
    this.#fit();
  }

  /** Make the field as high as its text; the style sheet knows how high it may be. */
  #fit() {
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight + 2}px`; // and its border
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
  const text = h("p", { class: "text", dir: "auto" });
  if (part.length === whole.length) {
    text.append(...linked(whole));
    return [text];
  }
  // The last word may be half an address, which leads elsewhere.
  const cut = part.length - (/\S*$/.exec(part)?.[0].length ?? 0);
  const rest = part.slice(cut).replace(/[\ud800-\udbff]$/, "");
  text.append(...linked(part.slice(0, cut)), `${rest} …`);
  const more = h("button", { type: "button", class: "quiet more" }, "Show all");
  more.addEventListener("click", () => {
    text.replaceChildren(...linked(whole));
    more.remove();
  });
  return [text, more];
}

/** @param {string} text */
function linked(text) {
  return partsOf(text).map((part) => (part.link
    ? h("a", { href: part.text, target: "_blank", rel: "noopener noreferrer" }, part.text)
    : part.text));
}

/** @param {Date} timestamp by the author's clock, which may be anything */
function clock(timestamp) {
  const today = timestamp.toDateString() === new Date().toDateString();
  const time = TIME.format(timestamp);
  const text = today ? time : `${timestamp.toLocaleDateString()} ${time}`;
  return h("time", { datetime: timestamp.toISOString() }, text);
}

/**
 * Return a text in parts that give it again, one after the other: addresses by http and
 * https are links, everything else is not.
 * @param {string} text
 * @returns {Part[]}
 */
export function partsOf(text) {
  /** @type {Part[]} */
  const parts = [];
  let end = 0;
  for (const { 0: match, index } of text.matchAll(ADDRESS)) {
    const address = trimmed(match);
    if (!isAddress(address)) continue;
    if (index > end) parts.push({ text: text.slice(end, index), link: false });
    parts.push({ text: address, link: true });
    end = index + address.length;
  }
  if (end < text.length) parts.push({ text: text.slice(end), link: false });
  return parts;
}

/**
 * Return an address without the punctuation after it; a bracket that it opens is its own.
 * @param {string} match
 */
function trimmed(match) {
  // A loop, for `/[.,)]+$/` takes a time that grows with the square of the length.
  let end = match.length;
  while (TAIL.includes(match.charAt(end - 1))) end -= 1;
  const own = match.charAt(end) === ")" && match.lastIndexOf("(", end) >= 0;
  return match.slice(0, own ? end + 1 : end);
}

/** @param {string} text */
function isAddress(text) {
  try {
    return ["http:", "https:"].includes(new URL(text).protocol);
  } catch {
    return false;
  }
}
