/**
 * Building the page: elements, attributes and text; never markup.
 * @module
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number | boolean>} [attributes] false leaves one out
 * @param {...(Node | string)} children strings become text
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/**
 * Return an element that the page came with.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} id
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function found(tag, id) {
  const element = document.getElementById(id);
  if (element?.localName !== tag) throw new Error(`there is no ${tag} called ${id}`);
  return /** @type {HTMLElementTagNameMap[Tag]} */ (element);
}

/**
 * Change a text, if it is another one: live regions and selections mind.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Return a picture of dark squares on a light ground, whatever the theme is.
 * @param {boolean[][]} modules
 * @param {string} label
 */
export function picture(modules, label) {
  const margin = 4; // as the QR standard wants it
  const size = modules.length + 2 * margin;
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  svg.setAttribute("class", "qr");
  const path = document.createElementNS(SVG, "path");
  const squares = modules.flatMap((row, y) =>
    row.map((dark, x) => (dark ? `M${x + margin} ${y + margin}h1v1h-1z` : "")));
  path.setAttribute("d", squares.join(""));
  svg.append(path);
  return svg;
}
