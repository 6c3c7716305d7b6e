/**
 * Names for rooms: readable ones for those that nobody named.
 * @module
 */

const ADJECTIVES = (
  "able amber apt azure bold brave brief bright brisk calm candid clear clever cosy crisp deft "
  + "eager early easy even fair fancy fast fine firm fond frank free fresh gentle glad golden "
  + "good grand green happy hardy hazel honest jolly keen kind large lively loyal lucky mellow "
  + "merry mild neat nimble noble plain prime proud quick quiet rapid ready ruby silver smart "
  + "snug solid"
).split(" ");

const ANIMALS = (
  "badger bear beaver bee bison camel cat cobra cod crab crane crow deer dingo dog dove duck "
  + "eagle eel elk falcon ferret finch fox frog gecko goat goose hare hawk heron horse ibex jay "
  + "koala lark lemur lion llama lynx mole moose moth mouse newt otter owl panda pony puma quail "
  + "rabbit raven robin seal shark sheep snail swan tiger toad whale wolf wren"
).split(" ");

/** How many characters the name of somebody may have. */
const NAME_LIMIT = 64;
const ROOM = /^[A-Za-z0-9._-]{1,64}$/;

/**
 * Return a name like `brave-otter-42`, as the server makes them: for people, no secret.
 * @param {() => number} [dice] returns random numbers in [0, 1)
 */
export function readableName(dice = Math.random) {
  const number = 10 + Math.floor(dice() * 90);
  return `${pick(ADJECTIVES, dice)}-${pick(ANIMALS, dice)}-${number}`;
}

/**
 * Return the room that a text, as somebody types it, can only mean; null if none.
 * @param {string} text
 */
export function roomOf(text) {
  const name = text.trim().replace(/\s+/g, "-");
  return ROOM.test(name) ? name : null;
}

/**
 * Tell whether somebody can be called so.
 * @param {string} text
 */
export function isName(text) {
  return text.trim() !== "" && [...text.trim()].length <= NAME_LIMIT;
}

/**
 * @param {string[]} words
 * @param {() => number} dice
 */
const pick = (words, dice) => words[Math.floor(dice() * words.length)];
