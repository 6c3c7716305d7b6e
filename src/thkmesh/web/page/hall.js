/**
 * The view of a room: who is here, what is said, and what goes wrong.
 * @module
 */

import { TYPING_EXPIRY } from "../chat.js";
import { InvalidArgument, RoomClosed } from "../errors.js";
import { join } from "../index.js";
import { Composer, Conversation } from "./conversation.js";
import { found, h, NextFrame, setText } from "./dom.js";
import { ticket } from "./invitation.js";
import { Notices } from "./notices.js";
import { People } from "./people.js";
import { Visit } from "./visit.js";
import {
  attendance, departure, explain, passwordTrouble, removal, suspicion, typists,
} from "./words.js";

/** @typedef {import("../chat.js").ChatEntry} ChatEntry */
/** @typedef {import("../chat.js").ChatMessage} ChatMessage */
/** @typedef {import("./memory.js").KeptMessage} KeptMessage */

/** Milliseconds between two looks at the links, whose figures change without a word. */
const LOOKING_MS = 2000;
/** Milliseconds in which what is said is gathered before it is kept. */
const KEEPING_MS = 500;

/**
 * What a stay needs.
 * @typedef {object} HallOptions
 * @property {string} room
 * @property {string | null} secret that of a private room
 * @property {string} place the room, with its secret as in a link: what is remembered
 * @property {string} name what we are called
 * @property {URL} base where the page is
 * @property {"tab" | "stable"} identity
 * @property {import("./memory.js").Memory} memory
 * @property {(why: string) => void} rename asks for another name; empty if we wish it
 */

/** One stay in one room, on the screen. */
export class Hall {
  /** The name of the room. */
  name;
  #options;
  #visit;
  #notices = new Notices(found("div", "notices"));
  #people = new People(found("ul", "peers"), () => this.#options.rename(""));
  /** Undoes all listening. */
  #over = new AbortController();
  #composer = new Composer(
    (content) => this.#submit(content), (typed) => this.#showTyping(typed), this.#over.signal,
  );
  #conversation = new Conversation(
    found("div", "log"), found("button", "newer"), this.#over.signal,
  );
  /** @type {KeptMessage[]} */
  #unkept = [];
  /** @type {Map<string, number>} */
  #refused = new Map();
  /** @type {Set<string>} */
  #away = new Set();
  #welcoming = false;
  #refresh = new NextFrame(() => this.#look());
  #lost = 0;
  #unread = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #keeping;
  #typingTimer = 0;

  /**
   * Enter a room.
   * @param {HallOptions} options
   */
  constructor(options) {
    this.name = options.room;
    this.#options = options;
    const { room, secret, name, base, identity, memory } = options;
    const wanted = { url: base.href, room, name, identity, timeout: 5, ...(secret && { secret }) };
    this.#visit = new Visit(() => join({ ...wanted, password: memory.password }), {
      changed: () => this.#changed(),
      heard: (entry) => this.#heard(entry),
      failed: (error) => reportError(error),
    });
    this.#listen();
    this.#remember();
    this.#retitle();
    void this.#visit.enter();
  }

  /** Leave the room, and the screen. */
  leave() {
    this.#keep();
    this.#over.abort();
    this.#refresh.cancel();
    clearTimeout(this.#typingTimer);
    found("dialog", "lock").close();
    this.#visit.leave();
    this.#people.clear();
    this.#notices.clear();
    found("p", "typing").replaceChildren();
  }

  /** Return what others need to come in too. */
  ticket() {
    return ticket(this.#options.base, this.name, this.#options.secret);
  }

  // --- the room --------------------------------------------------------------------

  #changed() {
    const { state, error, chat } = this.#visit;
    if (error instanceof InvalidArgument) { // the room has been checked: it is the name
      this.#options.rename(explain(error, this.name).text);
      return;
    }
    if (state === "over" && passwordTrouble(error) !== null) this.#askPassword();
    const inside = state === "inside";
    this.#composer.show(inside, inside ? "Say something" : state === "over" ? "" : "Joining …");
    this.#notices.show("visit", this.#trouble(state, error));
    if (inside && chat !== null) {
      this.#notices.show("server", null);
      this.#welcomeAlone();
      // A keyboard on the screen would cover what has been said.
      if (matchMedia("(pointer: fine)").matches) this.#composer.focus();
      else found("h1", "title").focus();
    } else {
      this.#people.clear();
    }
    this.#look();
  }

  /**
   * @param {import("./visit.js").VisitState} state
   * @param {unknown} error
   * @returns {import("./notices.js").Notice | null}
   */
  #trouble(state, error) {
    if (state === "joining" || state === "inside") return null;
    const again = () => void this.#visit.enter();
    if (error === null) return { text: "You left the room.", action: "Join again", act: again };
    const { text, action } = explain(error, this.name);
    const act = action === "Reload" ? () => location.reload() : again;
    const tone = state === "waiting" ? "warning" : "error";
    return action === undefined ? { text, tone } : { text, tone, action, act };
  }

  /** Ask for the server's password, and try again with it. */
  #askPassword() {
    const field = found("input", "password");
    field.value = "";
    found("form", "unlock").onsubmit = (event) => {
      event.preventDefault();
      this.#options.memory.password = field.value;
      found("dialog", "lock").close();
      void this.#visit.enter();
    };
    if (!found("dialog", "lock").open) found("dialog", "lock").showModal();
    field.focus();
  }

  /** @param {ChatEntry} entry */
  #heard(entry) {
    const name = "peer" in entry && entry.peer ? this.#nameOf(entry.peer) : "";
    switch (entry.type) {
      case "chat-message":
        this.#say(entry, entry.direct ? "to you alone" : "");
        if (document.hidden) this.#unread += 1;
        break;
      case "peer-joined":
        this.#conversation.tell(name, "joined");
        break;
      case "peer-kicked":
        if (entry.peer !== null) this.#conversation.tell(name, removal(entry.why));
        break;
      case "peer-left":
        this.#away.delete(entry.peer.sid);
        if (entry.reason !== "kicked") this.#conversation.tell(name, departure(entry.reason));
        break;
      case "link-changed":
        this.#linkChanged(entry.peer.sid, entry.state, name);
        break;
      case "server-changed":
        this.#serverChanged(entry.state);
        break;
      case "refused":
        this.#suspect(entry);
        break;
      case "lost":
        if (entry.count === null) break; // that its peer is gone says as much
        this.#lost += entry.count;
        this.#dismissible("lost", `${this.#lost} messages to this page were lost, because it did `
          + "not take them in for too long.");
        break;
      case "peer-lagging":
        this.#dismissible(`lagging-${entry.peer.sid}`, `${name} takes in nothing at the moment, and `
          + `may have missed ${entry.count} messages.`);
        break;
      case "undelivered":
        this.#dismissible(`undelivered-${entry.peer.sid}`, `${entry.count} messages may not have `
          + `reached ${name}, who is gone.`);
        break;
      default:
    }
    this.#refresh.request();
  }

  /**
   * @param {string} sid
   * @param {import("../events.js").LinkState} state
   * @param {string} name
   */
  #linkChanged(sid, state, name) {
    if (state === "reconnecting") {
      this.#away.add(sid);
      this.#conversation.tell(name, "is reconnecting");
    } else if (state === "connected" && this.#away.delete(sid)) {
      this.#conversation.tell(name, "is back");
    }
  }

  /** @param {import("../events.js").ServerState} state */
  #serverChanged(state) {
    if (state === "closed") return; // the end of the visit says more
    const away = navigator.onLine
      ? "The server is away; reconnecting. You still reach those you are connected to."
      : "You are offline; waiting for the network.";
    this.#notices.show("server", state === "connected" ? null : { text: away });
  }

  /** @param {Extract<ChatEntry, { type: "refused" }>} entry */
  #suspect(entry) {
    const text = suspicion(entry, (peer) => this.#nameOf(peer));
    const count = (this.#refused.get(text) ?? 0) + 1;
    this.#refused.set(text, count);
    this.#dismissible("refused", count > 1 ? `${text} (${count} times)` : text, "error");
  }

  /**
   * @param {string} kind
   * @param {string} text
   * @param {import("./notices.js").Tone} [tone]
   */
  #dismissible(kind, text, tone) {
    const act = () => this.#notices.show(kind, null);
    this.#notices.show(kind, { text, ...(tone && { tone }), action: "Dismiss", act });
  }

  // --- the screen ------------------------------------------------------------------

  #listen() {
    const { signal } = this.#over;
    addEventListener("pagehide", () => this.#keep(), { signal });
    addEventListener("pageshow", ({ persisted }) => {
      if (persisted) this.#visit.enterAgain();
    }, { signal });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.#keep();
      else this.#unread = 0;
      this.#retitle();
    }, { signal });
    const timer = setInterval(() => {
      if (!document.hidden) this.#look();
    }, LOOKING_MS);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  /**
   * Say what was written; fails as `Chat.say`.
   * @param {string} content
   */
  async #submit(content) {
    const { chat } = this.#visit;
    if (chat === null) throw new RoomClosed("we are not in the room");
    const alone = chat.room.peers.length === 0;
    this.#say(await chat.say(content), alone ? "nobody else was here" : "");
  }

  /** @param {boolean} typed */
  #showTyping(typed) {
    this.#visit.chat?.showTyping(typed).catch(() => {});
  }

  /**
   * @param {ChatMessage} message
   * @param {string} note
   */
  #say({ id, author, content, timestamp, direct }, note) {
    if (this.#over.signal.aborted) return;
    const mine = author === this.#visit.chat?.room.me;
    const name = this.#nameOf(author);
    this.#conversation.say({ key: author.id, name, content, timestamp, mine, note });
    this.#unkept.push({
      id, authorId: author.id, name, content, timestamp: timestamp.toISOString(), mine, direct,
    });
    this.#keeping ??= setTimeout(() => this.#keep(), KEEPING_MS);
  }

  /** @param {import("../events.js").Peer} peer */
  #nameOf(peer) {
    return this.#visit.chat?.nameOf(peer) ?? peer.name;
  }

  /** Show how it is now. */
  #look() {
    this.#retitle();
    this.#tellTyping();
    const { state, chat, room } = this.#visit;
    const server = found("p", "server");
    if (state !== "inside" || room === null || chat === null) {
      this.#count(["Away", " from the room"]);
      setText(server, "");
      return;
    }
    this.#people.show(room, chat);
    const states = room.peers.map((peer) => room.link(peer)?.state ?? "closed");
    this.#count(attendance(states), states);
    setText(server, `Server: ${room.server}`);
    server.dataset.state = room.server;
    if (states.length > 0 && this.#welcoming) {
      this.#welcoming = false;
      this.#conversation.place(null);
    }
  }

  /**
   * @param {[string, string]} words how many, and the rest, for which phones show a dot only
   * @param {string[]} states of the links
   */
  #count([number, rest], states = []) {
    setText(found("span", "number"), number);
    setText(found("span", "linked"), rest);
    const all = states.every((state) => state === "connected");
    const dot = states.length === 0 ? "none" : all ? "connected" : "connecting";
    const button = found("button", "attendance");
    button.dataset.state = dot;
    button.setAttribute("aria-label", number + rest);
  }

  #tellTyping() {
    clearTimeout(this.#typingTimer);
    const { chat } = this.#visit;
    const parts = typists(chat?.typing.map((peer) => chat.nameOf(peer)) ?? []);
    const line = h("p", {}, ...parts.map((part) => (
      typeof part === "string" ? part : h("bdi", {}, part.name))));
    const shown = found("p", "typing");
    if (shown.textContent !== line.textContent) shown.replaceChildren(...line.childNodes);
    if (parts.length > 0) {
      this.#typingTimer = setTimeout(() => this.#tellTyping(), TYPING_EXPIRY * 1000 + 50);
    }
  }

  #welcomeAlone() {
    if (this.#visit.room?.peers.length !== 0 || this.#welcoming) return;
    this.#welcoming = true;
    const title = h("h2", {}, "Nobody else is here yet");
    const card = h("div", { class: "welcome" }, title, this.ticket());
    this.#conversation.place(card);
  }

  #retitle() {
    const unread = this.#unread > 0 ? `(${this.#unread}) ` : "";
    document.title = `${unread}${this.name} · THKMesh`;
  }

  // --- memory ----------------------------------------------------------------------

  #remember() {
    const { memory } = this.#options;
    const kept = memory.history(this.#options.place);
    for (const { authorId, name, content, timestamp, mine, direct } of kept) {
      const note = direct && !mine ? "to you alone" : "";
      const time = new Date(timestamp);
      this.#conversation.say({ key: authorId, name, content, timestamp: time, mine, note });
    }
    if (kept.length > 0) this.#conversation.tell("", "remembered by this browser");
    memory.visit(this.#options.place);
  }

  #keep() {
    clearTimeout(this.#keeping);
    this.#keeping = undefined;
    if (this.#unkept.length === 0) return;
    this.#options.memory.keep(this.#options.place, this.#unkept);
    this.#unkept = [];
  }
}
