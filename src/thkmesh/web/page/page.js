/**
 * The page: leads to the way in or into a room, as its address says.
 * @module
 */

import { isSecret } from "../core/secret.js";
import { fragmentOf, placeOf } from "../invitation.js";
import { found, setText } from "./dom.js";
import { Entrance } from "./entrance.js";
import { Memory } from "./memory.js";
import { isName, roomOf } from "./names.js";
import { Notices } from "./notices.js";
import { obstacle, ROOM_RULE } from "./words.js";

const base = new URL(".", location.href);
// The form does not wait for what only a room needs.
const loading = import("./hall.js");
loading.catch(() => {}); // told where it is wanted
// One identity for all tabs, where somebody wants it: /?identity=stable#room
const identity = new URLSearchParams(location.search).get("identity") === "stable"
  ? "stable" : "tab";
const problem = obstacle();
const memory = new Memory(storage());
const notices = new Notices(found("div", "notices"));
const invitation = found("dialog", "invitation");
const attendance = found("button", "attendance");
const people = found("aside", "people");
const entrance = new Entrance(memory, go);
/**
 * A place is a room, with its secret as in a link.
 * @typedef {{ place: string, hall: import("./hall.js").Hall | null }} Stay
 */
/** Where we are, or on the way to until there is a hall. @type {Stay | null} */
let stay = null;

/** @returns {Storage | null} */
function storage() {
  try {
    return localStorage;
  } catch {
    return null; // blocked
  }
}

/** Show what the address asks for. */
function show() {
  const { room: asked, secret } = placeOf(location);
  const room = asked === null ? null : roomOf(asked);
  const whole = secret === null || (room !== null && isSecret(secret));
  const place = room === null || !whole ? null : fragmentOf(room, secret);
  if (place !== null && place === stay?.place) return;
  if (place !== null && location.search.includes("room=")) {
    history.replaceState(null, "", addressOf(place));
  }
  if (place !== null && problem === null && isName(memory.name)) {
    void enter(place);
    return;
  }
  ask(place ?? (whole ? asked : null));
  if (!whole) {
    const text = "The link to this private room is not whole. Ask for it again.";
    notices.show("room", { text, tone: "error" });
  } else if (asked !== null && room === null) {
    notices.show("room", { text: `The link leads to no room: ${ROOM_RULE}` });
  }
}

/**
 * Return the room of a place, and its secret.
 * @param {string} place
 */
function parts(place) {
  const { room, secret } = placeOf({ hash: place, search: "" });
  return { room: room ?? "", secret };
}

/**
 * Leave where we are, and show the way in or a room.
 * @param {string | null} place null for the way in
 */
function turn(place) {
  const room = place === null ? null : parts(place).room;
  stay?.hall?.leave();
  stay = place === null ? null : { place, hall: null };
  notices.clear();
  invitation.close();
  showPeople(false);
  found("main", "start").hidden = room !== null;
  found("main", "room").hidden = found("div", "actions").hidden = room === null;
  setText(found("h1", "title"), room ?? "THKMesh");
  found("header", "top").classList.toggle("inside", room !== null);
}

/** @param {string} place */
async function enter(place) {
  turn(place);
  const here = stay;
  try {
    const { Hall } = await loading;
    if (here === null || here !== stay) return; // gone elsewhere in the meantime
    const rename = (/** @type {string} */ why) => ask(place, why);
    const name = memory.name.trim();
    here.hall = new Hall({ ...parts(place), place, name, base, identity, memory, rename });
  } catch (error) {
    reportError(error);
    const act = () => location.reload();
    const text = "The page did not come whole.";
    if (here === stay) notices.show("page", { text, tone: "error", action: "Reload", act });
  }
}

/**
 * Show the way in.
 * @param {string | null} place as it was asked for
 * @param {string} [why] something was wrong
 */
function ask(place, why = "") {
  const { room, secret } = place === null ? { room: null, secret: null } : parts(place);
  turn(null);
  document.title = "THKMesh";
  entrance.show(room, secret, problem === null);
  if (problem !== null) notices.show("problem", { text: problem, tone: "error" });
  if (why !== "") notices.show("name", { text: why, tone: "error" });
}

/** @param {string | null} place null for the way in */
function addressOf(place) {
  const address = new URL(place === null ? "" : `#${place}`, base);
  if (identity === "stable") address.searchParams.set("identity", identity);
  return address;
}

/**
 * On small screens, where they lie over the conversation, show who is here.
 * @param {boolean} open
 */
function showPeople(open) {
  attendance.setAttribute("aria-expanded", String(open));
  people.classList.toggle("open", open);
}

/** @param {string | null} place */
function go(place) {
  const address = addressOf(place);
  if (address.href === location.href) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  show();
}

for (const id of /** @type {const} */ (["home", "leave"])) {
  found("a", id).addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // into another tab
    event.preventDefault();
    go(null);
  });
}
found("button", "invite").addEventListener("click", () => {
  if (!stay?.hall) return;
  setText(found("h2", "invitation-title"), `Invite others to ${stay.hall.name}`);
  found("div", "ticket").replaceChildren(stay.hall.ticket());
  invitation.showModal();
  invitation.querySelector("button")?.focus();
});
found("button", "close").addEventListener("click", () => invitation.close());
invitation.addEventListener("click", ({ target }) => {
  if (target === invitation) invitation.close(); // beside it
});
attendance.addEventListener("click", () => {
  showPeople(attendance.getAttribute("aria-expanded") !== "true");
});
addEventListener("keydown", ({ key }) => {
  if (key !== "Escape" || invitation.open || !people.classList.contains("open")) return;
  if (people.contains(document.activeElement)) attendance.focus();
  showPeople(false);
});
found("main", "loading").remove();
addEventListener("popstate", show);
addEventListener("hashchange", show);
show();
