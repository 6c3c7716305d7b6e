/**
 * Inviting others: the link to a room, to copy, to scan, and for a terminal.
 * @module
 */

import { h, picture, setText } from "./dom.js";
import { qrCode } from "./qr.js";

const LOCAL = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Return what somebody needs to come into a room.
 * @param {URL} base where the page is
 * @param {string} room
 */
export function ticket(base, room) {
  const link = new URL(`#${room}`, base);
  const server = base.href.replace(/\/$/, "");
  const code = qrCode(link.href);
  return h(
    "div",
    { class: "ticket" },
    ...(code === null ? [] : [picture(code, `QR code of ${link.href}`)]),
    h(
      "div",
      { class: "ways" },
      copyable("Link", link.href),
      copyable("In a terminal", `thkmesh chat --url ${server} --room ${room}`),
      ...(LOCAL.test(base.hostname)
        ? [h("p", { class: "hint" }, "This address works on this computer only.")]
        : []),
    ),
  );
}

/**
 * Return a text with a button that copies it.
 * @param {string} label
 * @param {string} text
 */
function copyable(label, text) {
  const field = h("input", { readonly: true, value: text, "aria-label": label });
  const button = h("button", { type: "button", "aria-label": `Copy: ${label}` }, "Copy");
  const told = h("span", { class: "unseen", role: "status" });
  field.addEventListener("focus", () => field.select());
  button.addEventListener("click", async () => {
    const done = await copied(field);
    setText(button, done ? "Copied" : "Press Ctrl+C");
    setText(told, done ? `${label} copied` : `${label} is selected, press Ctrl+C`);
    setTimeout(() => {
      setText(button, "Copy");
      setText(told, "");
    }, 2000);
  });
  return h(
    "div",
    { class: "copyable" },
    h("span", { class: "label", "aria-hidden": "true" }, label),
    h("div", { class: "together" }, field, button),
    told,
  );
}

/** @param {HTMLInputElement} field */
async function copied(field) {
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    field.focus(); // which selects it
    return false;
  }
}
