/**
 * Inviting others: the link to a room, to copy, to share and to scan, and what a program
 * needs.
 * @module
 */

import { fragmentOf } from "../invitation.js";
import { h, setText } from "./dom.js";

const LOCAL = /^(.*\.)?localhost$|^127(\.\d+){3}$|^\[::1\]$/;

/**
 * Return what somebody needs to come into a room.
 * @param {URL} base where the page is
 * @param {string} room
 * @param {string | null} [secret] that of a private room
 */
export function ticket(base, room, secret = null) {
  const link = new URL(`#${fragmentOf(room, secret)}`, base);
  const server = base.href.replace(/\/$/, "");
  const local = LOCAL.test(base.hostname);
  const programs = h("details", { class: "programs" }, h("summary", {}, "From a program of yours"),
    snippet("Python", python(server, room, secret)),
    snippet("JavaScript", javascript(server, room, secret)));
  const ways = h(
    "div",
    { class: "ways" },
    address(link),
    ...(local ? [h("p", { class: "hint" }, "This address works on this computer only.")] : []),
    ...(secret === null ? [] : [h("p", { class: "hint" },
      "This room is private: whoever has this link can come in, so send it to nobody else.")]),
    snippet("In a terminal", secret === null
      ? `thkmesh chat --url ${server} --room ${room}` : `thkmesh chat --url '${link.href}'`),
    programs,
  );
  const whole = h("div", { class: "ticket" }, ways);
  // Another machine that scans it would look for the server on itself.
  if (!local) void showCode(whole, link.href);
  return whole;
}

/**
 * @param {HTMLElement} place
 * @param {string} link
 */
async function showCode(place, link) {
  const { picture, qrCode } = await import("./qr.js");
  const code = qrCode(link);
  if (code !== null) place.prepend(picture(code, `QR code of ${link}`));
}

/**
 * @param {string} server
 * @param {string} room
 * @param {string | null} secret
 */
const python = (server, room, secret) => {
  const more = secret === null ? "" : `,
    secret="${secret}",`;
  return `import thkmesh.sync
with thkmesh.sync.join(
    "${server}", room="${room}", name="Robot"${more}
) as room:
    room.send("hello")
    for event in room: print(event)
`;
};

/**
 * @param {string} server
 * @param {string} room
 * @param {string | null} secret
 */
const javascript = (server, room, secret) => {
  const more = secret === null ? "" : `,
  secret: "${secret}"`;
  return `const { join } = await import(
  "${server}/thkmesh/index.js");
const room = await join({
  url: "${server}", room: "${room}", name: "Robot"${more} });
await room.send("hello");
for await (const event of room) console.log(event);
`;
};

/**
 * Return the link, with buttons that copy it and, where there are such, hand it on.
 * @param {URL} link
 */
function address(link) {
  const shown = h("code", {}, link.href);
  const copies = h("div", { class: "copies" }, ...copier("Copy link", "Link", shown));
  if ("share" in navigator) {
    const share = h("button", { type: "button" }, "Share …");
    share.addEventListener("click", () => {
      navigator.share({ url: link.href }).catch(() => {}); // they changed their mind
    });
    copies.append(share);
  }
  return h("div", { class: "copyable" }, h("span", { class: "label" }, "Link"), shown, copies);
}

/**
 * Return some code with a button that copies it.
 * @param {string} label
 * @param {string} text
 */
function snippet(label, text) {
  const shown = h("code", {}, text);
  return h("div", { class: "snippet" },
    h("span", { class: "label" }, label), ...copier("Copy", label, shown), shown);
}

/**
 * Return a button that copies what is shown, and what tells those who do not see it.
 * @param {string} label on the button
 * @param {string} what is copied
 * @param {HTMLElement} shown
 */
function copier(label, what, shown) {
  const told = h("span", { class: "unseen", role: "status" });
  const word = h("span", {}, label);
  const button = h("button", { type: "button", "aria-label": `Copy: ${what}` }, word);
  button.addEventListener("click", async () => {
    const done = await copied(shown);
    setText(word, done ? "Copied" : "Press Ctrl+C");
    setText(told, done ? `${what} copied` : `${what} is selected, press Ctrl+C`);
    setTimeout(() => {
      setText(word, label);
      setText(told, "");
    }, 2000);
  });
  return [button, told];
}

/** @param {HTMLElement} shown */
async function copied(shown) {
  try {
    await navigator.clipboard.writeText(shown.textContent ?? "");
    return true;
  } catch {
    getSelection()?.selectAllChildren(shown);
    return false;
  }
}
