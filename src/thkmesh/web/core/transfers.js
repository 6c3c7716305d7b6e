/**
 * What we send piece by piece: the same as `core/transfers.py`; `pieces.js` says what that is.
 * @module
 */

import { UnknownPeer, WouldWait } from "../errors.js";
import { Ending, HEAD_BYTES, TRANSFER_LIMIT, write } from "./pieces.js";

/** @typedef {import("./streams.js").Log} Log */
/**
 * A transfer of ours that has begun and not ended.
 * @typedef {{ log: Log, to: string | null, number: number, size: number }} Begun
 */

/** The transfers of ours that have begun and not ended, by our own numbers for them. */
export class OutgoingTransfers {
  /** @type {Map<number, Begun>} */
  #begun = new Map();

  /**
   * Return why the next piece of a transfer cannot be sent, null if it can.
   * @param {number} transfer our number for it
   * @param {Log} log where it goes
   * @param {number} wholeFrom what began before that fragment does not arrive as a whole
   */
  refusal(transfer, log, wholeFrom) {
    const begun = this.#begun.get(transfer);
    if (begun === undefined) {
      if (log.transfers.size < TRANSFER_LIMIT) return null;
      return new WouldWait(`${TRANSFER_LIMIT} streams are being sent there already`);
    }
    if (begun.number >= wholeFrom) return null;
    return new UnknownPeer("the addressee was away, and has missed a part of the stream");
  }

  /**
   * Put a piece into a log, or several that are no larger; the first begins a transfer.
   * @param {{ transfer: number, to: string | null, payload: Uint8Array, last: boolean }} send
   * @param {Log} log
   * @param {number} fragmentBytes
   */
  append({ transfer, to, payload, last }, log, fragmentBytes) {
    const begun = this.#begun.get(transfer) ?? { log, to, number: log.end.number, size: 0 };
    if (last) this.#begun.delete(transfer);
    else this.#begun.set(transfer, begun);
    const { number } = begun;
    let start = 0;
    do {
      const part = payload.subarray(start, start + fragmentBytes - HEAD_BYTES);
      start += fragmentBytes - HEAD_BYTES;
      begun.size += part.length;
      const ends = last && start >= payload.length;
      const ending = ends ? Ending.WHOLE : Ending.GOES_ON;
      const piece = write({ transfer: number, ending, size: begun.size, payload: part });
      log.appendPiece(number, piece, ends);
    } while (start < payload.length);
  }

  /**
   * Give a transfer up; return what was begun of it, null if nothing was.
   * @param {number} transfer
   */
  abort(transfer) {
    const begun = this.#begun.get(transfer);
    if (begun === undefined) return null;
    this.#begun.delete(transfer);
    const { log, number, size } = begun;
    const payload = new Uint8Array(0);
    const piece = write({ transfer: number, ending: Ending.ABORTED, size, payload });
    log.appendPiece(number, piece, true);
    return begun;
  }
}
