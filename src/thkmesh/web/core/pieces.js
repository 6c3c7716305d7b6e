/**
 * Messages of any size, sent piece by piece: transfers. The same as `core/pieces.py`, which
 * says how and why.
 * @module
 */

import { InvalidMessage } from "../errors.js";
import { FRAGMENT_BYTES } from "./frames.js";
import { Reader, write as writeNumber } from "./varint.js";

/** What stands before the bytes of a piece, at most. */
export const HEAD_BYTES = 8 + 1 + 8;
/** What a piece carries, at most. */
export const PIECE_BYTES = FRAGMENT_BYTES - HEAD_BYTES;
/** So many transfers of one stream may be under way at once. */
export const TRANSFER_LIMIT = 64;

/**
 * How it stands with a transfer after a piece: its sender gave it up; it has not the length
 * that its sender said; or it is over, and began where nothing arrived. The last two are
 * never on the wire.
 */
export const Ending = Object.freeze({ GOES_ON: 0, WHOLE: 1, ABORTED: 2, BROKEN: 3, MISSED: 4 });

/** @typedef {import("./frames.js").Fragment} Fragment */
/**
 * A piece of a transfer: the number of the fragment with which it began, how it stands now,
 * how many bytes it has in all if this is the last, and bytes.
 * @typedef {{ transfer: number, ending: number, size: number, payload: Uint8Array }} Piece
 */

/**
 * Return the payload of the fragment that a piece is.
 * @param {Piece} piece
 */
export function write({ transfer, ending, size, payload }) {
  /** @type {number[]} */
  const head = [];
  writeNumber(head, transfer);
  head.push(ending);
  if (ending !== Ending.GOES_ON) writeNumber(head, size);
  const out = new Uint8Array(head.length + payload.length);
  out.set(head);
  out.set(payload, head.length);
  return out;
}

/**
 * Return the piece that a fragment is.
 * @param {Fragment} fragment
 * @returns {Piece}
 * @throws {InvalidMessage} it is malformed
 */
export function read({ number, last, payload }) {
  const reader = new Reader(payload);
  const transfer = reader.number();
  const ending = reader.done ? Ending.BROKEN : reader.byte();
  if (ending > Ending.ABORTED || ending > Ending.GOES_ON !== last) {
    throw new InvalidMessage("a malformed piece of a transfer");
  }
  if (transfer > number) {
    throw new InvalidMessage(`a piece of the transfer ${transfer}, which has not begun`);
  }
  const size = last ? reader.number() : 0;
  return { transfer, ending, size, payload: payload.slice(reader.at) };
}

/** The transfers of one stream that have begun to arrive, and have not ended. */
export class IncomingTransfers {
  /** How much has come of each. @type {Map<number, number>} */
  #sizes = new Map();
  /** The numbers of fragments that are lost; the second is the first that is not. */
  #gap = { start: 0, stop: 0 };

  /**
   * Return the piece that a fragment is; null where it is of no transfer that counts.
   * @param {Fragment} fragment
   * @returns {Piece | null}
   * @throws {InvalidMessage} it is malformed, or too many are under way
   */
  take(fragment) {
    const piece = read(fragment);
    const { transfer, ending, payload } = piece;
    const before = transfer === fragment.number ? 0 : this.#sizes.get(transfer);
    this.#sizes.delete(transfer);
    const nothing = { transfer, size: 0, payload: new Uint8Array(0) };
    if (before === undefined) {
      const { start, stop } = this.#gap;
      const missed = ending === Ending.WHOLE && transfer >= start && transfer < stop;
      return missed ? { ...nothing, ending: Ending.MISSED } : null;
    }
    const size = before + payload.length;
    if (ending === Ending.GOES_ON) {
      if (this.#sizes.size === TRANSFER_LIMIT) {
        throw new InvalidMessage(`more than ${TRANSFER_LIMIT} transfers at once`);
      }
      this.#sizes.set(transfer, size);
    } else if (ending === Ending.WHOLE && piece.size !== size) {
      return { ...nothing, ending: Ending.BROKEN };
    }
    return piece;
  }

  /**
   * Expect nothing more of any; return whether there were some.
   * @param {{ start: number, stop: number } | null} [gap] fragments that are lost
   */
  breakOff(gap = null) {
    if (gap !== null) {
      const { start, stop } = this.#gap;
      this.#gap = { start: start < stop ? start : gap.start, stop: gap.stop };
    }
    const broken = this.#sizes.size > 0;
    this.#sizes.clear();
    return broken;
  }
}
