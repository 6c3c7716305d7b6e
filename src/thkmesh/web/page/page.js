/**
 * The page: leads to the way in or into a room, as its address says.
 * @module
 */

import { found, setText } from "./dom.js";
import { Entrance } from "./entrance.js";
import { Hall } from "./hall.js";
import { ticket } from "./invitation.js";
import { Memory } from "./memory.js";
import { addressedRoom, roomOf } from "./names.js";
import { Notices } from "./notices.js";
import { obstacle } from "./words.js";

const base = new URL(location.pathname, location.origin);
// One identity for all tabs, where somebody wants it: /?identity=stable#room
const identity = new URLSearchParams(location.search).get("identity") === "stable"
  ? "stable" : "tab";
const problem = obstacle();
const memory = new Memory(storage());
const notices = new Notices(found("div", "notices"));
const invitation = found("dialog", "invitation");
const attendance = found("button", "attendance");
const entrance = new Entrance(memory, go);
/** @type {Hall | null} */
let hall = null;

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
  const asked = addressedRoom(location);
  const room = asked === null ? null : roomOf(asked);
  if (room !== null && room === hall?.name) return;
  if (room !== null && location.search.includes("room=")) {
    history.replaceState(null, "", addressOf(room));
  }
  hall?.leave();
  hall = null;
  notices.clear();
  const inside = room !== null && problem === null && memory.name !== "";
  found("main", "start").hidden = inside;
  found("main", "room").hidden = found("div", "actions").hidden = !inside;
  setText(found("h1", "title"), inside ? room : "THKMesh");
  if (inside) {
    hall = new Hall({ room, name: memory.name, base, identity, memory });
    return;
  }
  document.title = "THKMesh";
  entrance.show(asked, problem === null);
  if (problem !== null) notices.show("problem", { text: problem, tone: "error" });
  if (asked !== null && room === null) {
    notices.show("room", {
      text: "The link leads to no room: a room has 1 to 64 letters, digits, dots, dashes or "
        + "underscores.",
    });
  }
}

/** @param {string | null} room null for the way in */
function addressOf(room) {
  const address = new URL(room === null ? "" : `#${room}`, base);
  if (identity === "stable") address.searchParams.set("identity", identity);
  return address;
}

/** @param {string | null} room */
function go(room) {
  history.pushState(null, "", addressOf(room));
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
  if (hall === null) return;
  found("div", "ticket").replaceChildren(ticket(base, hall.name));
  invitation.showModal();
  invitation.querySelector("button")?.focus();
});
found("button", "close").addEventListener("click", () => invitation.close());
invitation.addEventListener("click", ({ target }) => {
  if (target === invitation) invitation.close(); // beside it
});
attendance.addEventListener("click", () => {
  const open = attendance.getAttribute("aria-expanded") !== "true";
  attendance.setAttribute("aria-expanded", String(open));
  found("aside", "people").classList.toggle("open", open);
});
found("main", "loading").remove();
addEventListener("popstate", show);
addEventListener("hashchange", show);
show();
