/**
 * Who links to whom; see `core/topology.py`.
 * @module
 */

/** Peers a room holds as a mesh, ourselves included. */
export const MESH_LIMIT = 10;

/** The shapes a room can have. */
export const Topology = Object.freeze({ MESH: "mesh" });

/**
 * Return the sessions that `me` keeps a direct link to.
 * @param {string} _topology one of `Topology`
 * @param {string} me a session, see `sessionKey`
 * @param {Iterable<string>} members sessions
 * @returns {Set<string>}
 */
export function linksWanted(_topology, me, members) {
  const wanted = new Set(members);
  wanted.delete(me);
  return wanted;
}
