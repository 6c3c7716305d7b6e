/**
 * What this browser remembers: your name, your rooms, and what was said there.
 *
 * Everything is bounded, and everything works where the browser remembers nothing
 * (private windows, blocked or full storage).
 * @module
 */

/** @typedef {import("../chat.js").ChatMessage} ChatMessage */
/**
 * A message as it is kept.
 * @typedef {{ id: string, authorId: string, name: string, content: string,
 *   timestamp: string, mine: boolean, direct: boolean }} KeptMessage
 */

/** How many messages of a room are kept: the newest. */
export const MESSAGES_KEPT = 200;
/** How many characters they may have in all, as they are stored. */
export const CHARACTERS_KEPT = 100_000;
/** How many rooms are remembered. */
export const ROOMS_KEPT = 12;

const NAME = "thkmesh-name";
const ROOMS = "thkmesh-rooms";
const HISTORY = "thkmesh-history-";

/** Remembers, within limits; for as long as the page lives where nothing can be stored. */
export class Memory {
  #storage;
  /** @type {Map<string, string>} */
  #unstored = new Map();

  /** @param {Pick<Storage, "getItem" | "setItem" | "removeItem"> | null} storage */
  constructor(storage) {
    this.#storage = storage;
  }

  /** The server's password, for as long as the page lives; it is stored nowhere. */
  password = "";

  /** What you want to be called; empty if you have not said. */
  get name() {
    return this.#get(NAME) ?? "";
  }

  set name(name) {
    this.#set(NAME, name);
  }

  /** The rooms you were in, the latest first. @returns {string[]} */
  get rooms() {
    const rooms = parsed(this.#get(ROOMS));
    return Array.isArray(rooms) ? rooms.filter((room) => typeof room === "string") : [];
  }

  /**
   * Note that you are in a room; who was there long ago is forgotten.
   * @param {string} room
   */
  visit(room) {
    const rooms = [room, ...this.rooms.filter((other) => other !== room)];
    for (const forgotten of rooms.splice(ROOMS_KEPT)) this.#remove(HISTORY + forgotten);
    this.#set(ROOMS, JSON.stringify(rooms));
  }

  /**
   * Forget that you were in a room, and what was said there.
   * @param {string} room
   */
  forget(room) {
    this.#remove(HISTORY + room);
    this.#set(ROOMS, JSON.stringify(this.rooms.filter((other) => other !== room)));
  }

  /**
   * Return what is remembered of a room, the oldest first.
   * @param {string} room
   * @returns {KeptMessage[]}
   */
  history(room) {
    const messages = parsed(this.#get(HISTORY + room));
    return Array.isArray(messages) ? messages.filter(isKept) : [];
  }

  /**
   * Add to what is remembered of a room; another tab may be in it too.
   * @param {string} room
   * @param {KeptMessage[]} messages
   */
  keep(room, messages) {
    /** @type {Map<string, KeptMessage>} */
    const all = new Map();
    for (const message of [...this.history(room), ...messages]) {
      const key = `${message.authorId} ${message.id}`;
      all.set(key, { ...message, mine: message.mine || (all.get(key)?.mine ?? false) });
    }
    this.#set(HISTORY + room, JSON.stringify(newest([...all.values()])));
  }

  /** @param {string} key */
  #get(key) {
    try {
      return this.#unstored.get(key) ?? this.#storage?.getItem(key) ?? null;
    } catch {
      return null;
    }
  }

  /**
   * @param {string} key
   * @param {string} value
   */
  #set(key, value) {
    try {
      if (this.#storage === null) throw new Error("nothing can be stored");
      this.#storage.setItem(key, value);
      this.#unstored.delete(key);
    } catch {
      this.#unstored.set(key, value);
    }
  }

  /** @param {string} key */
  #remove(key) {
    this.#unstored.delete(key);
    try {
      this.#storage?.removeItem(key);
    } catch {
      // Forbidden: then it was never stored.
    }
  }
}

/**
 * Return the part of messages that is kept.
 * @param {KeptMessage[]} messages
 */
function newest(messages) {
  let characters = 0;
  const kept = messages.slice(-MESSAGES_KEPT).reverse().filter((message) => {
    // A control character is six in JSON, and ids count as well: a room full of
    // either must not take the place of the others.
    characters += JSON.stringify(message).length;
    return characters <= CHARACTERS_KEPT;
  });
  return kept.reverse();
}

/** @param {string | null} text */
function parsed(text) {
  try {
    return JSON.parse(text ?? "null");
  } catch {
    return null;
  }
}

/** @param {any} message whatever somebody may have put there */
function isKept(message) {
  const texts = ["id", "authorId", "name", "content", "timestamp"];
  return typeof message === "object" && message !== null
    && texts.every((field) => typeof message[field] === "string")
    && typeof message.mine === "boolean" && typeof message.direct === "boolean"
    && !Number.isNaN(Date.parse(message.timestamp));
}
