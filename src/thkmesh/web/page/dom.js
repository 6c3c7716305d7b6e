/**
 * Building the page: elements, attributes and text, never markup; and when to draw it.
 * @module
 */

/**
 * Milliseconds until it is done even though no frame comes: the tab is behind another,
 * or the machine has better things to draw.
 */
const PATIENCE_MS = 250;

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

/** Something that is done at the next frame, however often it is asked for. */
export class NextFrame {
  #act;
  #frame = 0;
  /** @type {ReturnType<typeof setTimeout> | null} null while nobody has asked */
  #timer = null;

  /** @param {() => void} act */
  constructor(act) {
    this.#act = act;
  }

  /** Ask for it. */
  request() {
    if (this.#timer !== null) return;
    const act = () => {
      this.cancel();
      this.#act();
    };
    this.#timer = setTimeout(act, document.hidden ? 0 : PATIENCE_MS);
    this.#frame = requestAnimationFrame(act);
  }

  /** Ask for it no longer. */
  cancel() {
    if (this.#timer !== null) clearTimeout(this.#timer);
    cancelAnimationFrame(this.#frame);
    this.#timer = null;
  }
}
