/**
 * Chat: lines of text among the peers of a room; the same as `apps/chat.py`.
 *
 *     const chat = new Chat(room);
 *     await chat.say("hello, everyone");
 *     for await (const entry of chat) {
 *       if (entry.type === "chat-message") {
 *         console.log(chat.nameOf(entry.author), "says", entry.content);
 *       } else if (entry.type === "peer-joined") {
 *         console.log(chat.nameOf(entry.peer), "joined");
 *       }
 *     }
 *
 * Two JSON messages, the first as in the dashboard this project grew out of:
 *
 *     {"type": "chat-message", "id": "msg_4f1c9a02b7de_1763718900000",
 *      "roomId": "lobby", "authorId": "...", "authorName": "Alice",
 *      "content": "Hello, world!", "timestamp": "2025-11-21T09:55:00.000Z"}
 *
 *     {"type": "chat-typing", "typing": true}
 *
 * Plain text, as `room.send("hello")` sends it, counts as said too: whoever has no
 * chat can talk with those who have one. What it does not bring along is made up here,
 * an id and the time. A room carries other messages too; those are left alone.
 *
 * Nobody can speak for somebody else: `authorId` must be the id of the peer whose
 * link the message came over, and the name shown is the one that peer introduced itself
 * with.
 * @module
 */

import { ByteStream } from "./bytestream.js";
import { sessionKey } from "./core/identity.js";
import { now } from "./driver.js";
import { InvalidArgument, MessageTooLarge } from "./errors.js";

/** @typedef {import("./events.js").Peer} Peer */
/** @typedef {import("./events.js").MeshEvent} MeshEvent */
/**
 * Something that was said.
 * @typedef {object} ChatMessage
 * @property {"chat-message"} type
 * @property {string} id names the message; chosen by its author
 * @property {Peer} author who said it, proven by the link it came over
 * @property {string} content the text as it was sent; for a screen, see `displayed`
 * @property {Date} timestamp when, by the author's clock
 * @property {boolean} direct it was said to us alone, or by us to one peer
 * @property {boolean} plain it came as plain text, so the id and the time are ours
 */
/**
 * A peer began or stopped typing. `TYPING_EXPIRY` passing is not told; see `typing`.
 * @typedef {{ type: "typing-changed", peer: Peer, typing: boolean }} TypingChanged
 */
/**
 * What iterating a chat yields: the room's events, with what was said decoded.
 * @typedef {ChatMessage | TypingChanged | Exclude<MeshEvent, { type: "message" }>} ChatEntry
 */
/**
 * What a chat needs of a `Room`.
 * @typedef {object} ChatRoom
 * @property {string} name
 * @property {Peer} me
 * @property {readonly Peer[]} peers
 * @property {(data: any, options?: { to?: Peer | string }) => Promise<void>} send
 * @property {(options: { unread: boolean }) => {
 *   next(): Promise<IteratorResult<MeshEvent, undefined>>, close(): void }} subscribe
 */

/** How many of the newest entries are remembered. */
export const HISTORY_LENGTH = 1000;

/** Characters that plain text may have to be something said; what is longer is data. */
export const PLAIN_LIMIT = 4096;

/** Seconds after which who types is taken to have stopped, unless told anew. */
export const TYPING_EXPIRY = 5.0;

/** Seconds between two notices of the same typing. */
export const TYPING_INTERVAL = 2.0;

/** The longest text, in UTF-8: what is longer is no chat, and a history has a thousand. */
export const CONTENT_LIMIT_BYTES = 64 * 1024;

const ID_LIMIT = 128;
const BREAKS = /\r\n|[\t\n\v\f\r\x85\u2028\u2029]/g;
/** What takes part in a name and leaves nothing on a screen; named in `apps/chat.py`. */
const UNSEEN =
  /[\p{Cf}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/gu;
const SUFFIXED = /#[a-z2-7]{4}$/;
const UNDISPLAYED = /[\p{Cc}\p{Cs}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
const BLANK = /^\p{Zs}*$/u;
const TIMESTAMP =
  /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):?(\d\d))$/;

/**
 * Return a text as one line that can do nothing to a screen but be read.
 *
 * Line breaks and tabs become spaces. Control characters, lone surrogates and what
 * turns the direction of writing around are left out.
 * @param {string} text
 */
export function displayed(text) {
  return text.replace(BREAKS, " ").replace(UNDISPLAYED, "");
}

/**
 * The conversation of a room, as one reader sees it.
 *
 * It has no task of its own: entries are taken from the room while it is iterated,
 * and `history` and `typing` tell of what has been taken so far.
 * @implements {AsyncIterableIterator<ChatEntry, undefined>}
 */
export class Chat {
  /** The room that is talked in. */
  room;
  /** How many chat messages were ignored for their form. */
  malformed = 0;
  /** How many were refused because they name another author. */
  forged = 0;
  #events;
  #clock;
  /** @type {ChatEntry[]} */
  #history = [];
  /** @type {Map<string, { peer: Peer, until: number }>} */
  #typing = new Map();
  /** @type {number | null} */
  #toldTyping = null;

  /**
   * Begin to listen, and with what nobody has read of the room so far.
   * @param {ChatRoom} room
   * @param {() => number} [clock] returns seconds and never goes back
   */
  constructor(room, clock = now) {
    this.room = room;
    this.#clock = clock;
    this.#events = room.subscribe({ unread: true });
  }

  // --- looking --------------------------------------------------------------------

  /** What was said, who came and who went; the newest `HISTORY_LENGTH` of them. */
  get history() {
    return [...this.#history];
  }

  /** Who is typing right now. @returns {Peer[]} */
  get typing() {
    const time = this.#clock();
    const current = [...this.#typing.values()].filter(({ until }) => until > time);
    return current.map(({ peer }) => peer);
  }

  /**
   * Return what to call a peer on a screen.
   *
   * Where two of those present share a name, each has the start of its id added.
   * That tells two Adas apart; it does not prove which of them is which. Names are the
   * same that look the same, as far as Unicode tells. Who is called "You", or as if the
   * start of an id had been added, has it added too.
   * @param {Peer} peer
   */
  nameOf(peer) {
    const like = compared(peer.name);
    if (!like) return peer.id.slice(0, 8);
    const shared = [...this.room.peers, this.room.me].some(
      ({ id, name }) => id !== peer.id && (compared(name) || id.slice(0, 8)) === like,
    );
    const name = displayed(peer.name).trim();
    const told = shared || like === "you" || SUFFIXED.test(like);
    return told ? `${name}#${peer.id.slice(0, 4)}` : name;
  }

  // --- speaking -------------------------------------------------------------------

  /**
   * Say something to everybody in the room, or to one peer; return it.
   *
   * It waits and is delivered as by `Room.send`.
   * @param {string} content some text; up to 64 KiB in UTF-8
   * @param {{ to?: Peer | string }} [options] `to`: a peer or its id, else everybody
   * @returns {Promise<ChatMessage>}
   * @throws {InvalidArgument} there is nothing in `content`, or it is no text
   * @throws {MessageTooLarge} it is over the limit
   * @throws {UnknownPeer} `to` is not in the room
   * @throws {RoomClosed} the room was left, or has ended
   */
  async say(content, { to } = {}) {
    if (typeof content !== "string" || content.trim() === "") {
      throw new InvalidArgument("say some text: there is nothing in it");
    }
    if (sizeOf(content) > CONTENT_LIMIT_BYTES) {
      throw new MessageTooLarge(`${sizeOf(content)} bytes; a line has ${CONTENT_LIMIT_BYTES}`);
    }
    const { me, name: roomId } = this.room;
    const { id, timestamp } = stamp();
    this.#toldTyping = null;
    const message = {
      type: "chat-message",
      id,
      roomId,
      authorId: me.id,
      authorName: me.name || me.id.slice(0, 8),
      content,
      timestamp: timestamp.toISOString(),
    };
    await this.room.send(message, to === undefined ? {} : { to });
    const direct = to !== undefined;
    /** @type {ChatMessage} */
    const said = { type: "chat-message", id, author: me, content, timestamp, direct, plain: false };
    this.#remember(said);
    return said;
  }

  /**
   * Let the others see that we are typing, or no longer.
   *
   * Call it at every key: it sends at most one notice in `TYPING_INTERVAL`, and none
   * that says nothing new. What is said ends the typing by itself.
   * @param {boolean} [typing]
   * @throws {RoomClosed} the room was left, or has ended
   */
  async showTyping(typing = true) {
    const time = this.#clock();
    const age = this.#toldTyping === null ? Infinity : time - this.#toldTyping;
    if (typing ? age < TYPING_INTERVAL : age >= TYPING_EXPIRY) return;
    this.#toldTyping = typing ? time : null;
    await this.room.send({ type: "chat-typing", typing });
  }

  // --- listening ------------------------------------------------------------------

  /** Iterating takes each entry once. What we say ourselves is not among them. */
  [Symbol.asyncIterator]() {
    return this;
  }

  /**
   * Return the next entry.
   * @returns {Promise<IteratorResult<ChatEntry, undefined>>}
   * @throws {MeshError} the room ended, and was not left by us
   */
  async next() {
    for (;;) {
      const { done, value } = await this.#events.next();
      if (done) return { done, value: undefined };
      const entry = this.#entry(value);
      if (entry !== null) return { done: false, value: entry };
    }
  }

  /** Leaving a `for await` loop early keeps what follows for the next one. */
  async return() {
    return /** @type {const} */ ({ done: true, value: undefined });
  }

  /** Listen no more; the room stays as it is. */
  close() {
    this.#events.close();
  }

  /**
   * Return what an event is to this chat; null if nothing.
   * @param {MeshEvent} event
   * @returns {ChatEntry | null}
   */
  #entry(event) {
    switch (event.type) {
      case "message":
        return this.#heard(event.peer, event.data, event.direct);
      case "peer-left":
        this.#typing.delete(keyOf(event.peer));
        this.#remember(event);
        break;
      case "peer-joined":
      case "lost":
      case "peer-lagging":
      case "undelivered":
        this.#remember(event);
        break;
      default:
    }
    return event;
  }

  /**
   * @param {Peer} peer
   * @param {any} data
   * @param {boolean} direct
   * @returns {ChatEntry | null}
   */
  #heard(peer, data, direct) {
    if (typeof data === "string") return this.#remembered(saidPlainly(peer, data, direct));
    if (typeof data !== "object" || data === null || Array.isArray(data)) return null;
    if (data instanceof ByteStream) {
      data.cancel(); // or its sender would wait for us
      return null;
    }
    if (data.type === "chat-typing") return this.#typed(peer, data.typing);
    if (data.type !== "chat-message") return null;
    return this.#remembered(this.#said(peer, data, direct));
  }

  /**
   * Take note of what a peer said, if it said something.
   * @param {ChatMessage | null} said
   */
  #remembered(said) {
    if (said !== null) {
      this.#typing.delete(keyOf(said.author));
      this.#remember(said);
    }
    return said;
  }

  /**
   * @param {Peer} peer
   * @param {any} data
   * @param {boolean} direct
   * @returns {ChatMessage | null}
   */
  #said(peer, data, direct) {
    const { id, roomId, authorId, authorName, content } = data;
    const timestamp = timeOf(data.timestamp);
    const texts = [id, roomId, authorId, authorName, content];
    const formed = texts.every((text) => typeof text === "string") && timestamp !== null;
    const fits = formed && [...id].length <= ID_LIMIT && sizeOf(content) <= CONTENT_LIMIT_BYTES;
    if (!fits || id === "" || roomId !== this.room.name) {
      this.malformed += 1;
      return null;
    }
    if (authorId !== peer.id) {
      this.forged += 1;
      return null;
    }
    return { type: "chat-message", id, author: peer, content, timestamp, direct, plain: false };
  }

  /**
   * @param {Peer} peer
   * @param {unknown} typing
   * @returns {TypingChanged | null}
   */
  #typed(peer, typing) {
    if (typeof typing !== "boolean") {
      this.malformed += 1;
      return null;
    }
    const time = this.#clock();
    const key = keyOf(peer);
    const before = (this.#typing.get(key)?.until ?? time) > time;
    if (typing) this.#typing.set(key, { peer, until: time + TYPING_EXPIRY });
    else this.#typing.delete(key);
    return typing === before ? null : { type: "typing-changed", peer, typing };
  }

  /** @param {ChatEntry} entry */
  #remember(entry) {
    this.#history.push(entry);
    if (this.#history.length > HISTORY_LENGTH) this.#history.shift();
  }
}

/**
 * Return plain text as something said; null if it is empty, blank or too long for that.
 * @param {Peer} peer
 * @param {string} content
 * @param {boolean} direct
 * @returns {ChatMessage | null}
 */
function saidPlainly(peer, content, direct) {
  if (BLANK.test(displayed(content)) || [...content].length > PLAIN_LIMIT) return null;
  return { type: "chat-message", ...stamp(), author: peer, content, direct, plain: true };
}

/** Return the id and the time of something that is said now. */
function stamp() {
  const timestamp = new Date();
  return { id: `msg_${randomHex(6)}_${timestamp.getTime()}`, timestamp };
}

/** @param {Peer} peer */
const keyOf = ({ id, sid }) => sessionKey(id, sid);

/**
 * Return what people see of a name: those for whom it is the same seem to be the same.
 *
 * Without regard to case; upper first, so that ß and SS are one. It is "" if nothing can
 * be seen of it.
 * @param {string} name
 */
function compared(name) {
  const seen = displayed(name).normalize("NFKC").replace(UNSEEN, "");
  const folded = seen.toUpperCase().toLowerCase().normalize("NFKC");
  return folded.split(/\s+/).filter(Boolean).join(" ");
}

/** @param {string} text */
const sizeOf = (text) => new TextEncoder().encode(text).length;

/** @param {number} bytes */
function randomHex(bytes) {
  const values = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(values, (value) => value.toString(16).padStart(2, "0")).join("");
}

/**
 * Return the time that a text is (RFC 3339); null if it is none, as Python judges.
 * @param {unknown} text
 */
function timeOf(text) {
  const parts = typeof text === "string" ? TIMESTAMP.exec(text) : null;
  if (parts === null) return null;
  const [, date, time, fraction = "", sign, hours = "0", minutes = "0"] = parts;
  const local = Date.parse(`${date}T${time}.${fraction.padEnd(3, "0").slice(0, 3)}Z`);
  // A 30th of February is a 2nd of March to some engines.
  if (Number.isNaN(local) || !isWritten(local, `${date}T${time}`)) return null;
  if (Number(hours) > 23 || Number(minutes) > 59) return null;
  const offset = (Number(hours) * 60 + Number(minutes)) * 60_000;
  const moment = new Date(sign === "-" ? local + offset : local - offset);
  const year = moment.getUTCFullYear();
  return date?.startsWith("0000") || year < 1 || year > 9999 ? null : moment;
}

/**
 * @param {number} time
 * @param {string} text
 */
const isWritten = (time, text) => new Date(time).toISOString().startsWith(text);
