// One end of many links in a page: it enters rooms, has wishes, and says how its links are.
//
// An expression that leaves `command` behind, which `sides.py` calls; the same commands as
// in `side_process.py`. A side is the host of its own room: so it sees what is asked of the
// browser, as in `tests/rooms/watching.py`, and can speak to the link.
(async () => {
  const [{ sessionKey }, { Connection }, { Identity, randomSid }, { Room }] = await Promise.all(
    ["core/identity", "engine", "keys", "room"].map((name) => import(`/thkmesh/${name}.js`)),
  );

  /** A connection that remembers what was asked of it. */
  class WatchedConnection extends Connection {
    rollbacks = 0;
    #busy = false;
    #answered = true;

    constructor(config, emit) {
      super(config, (event) => {
        if (event.type === "operation-done" || event.type === "operation-failed") {
          this.#done(event.operation);
        }
        emit(event);
      });
    }

    /** Whether no operation is in flight, and every description has its answer. */
    get atRest() {
      return this.#answered && !this.#busy;
    }

    perform(operation) {
      if (operation.type === "roll-back") this.rollbacks += 1;
      this.#busy = true;
      super.perform(operation);
    }

    #done({ type, description }) {
      this.#busy = false;
      if (type === "make-offer") this.#answered = false;
      else if (type === "apply-remote") this.#answered = description.type === "answer";
      else if (type !== "add-candidate") this.#answered = true;
    }
  }

  /** One session in a room for two. */
  class Side {
    #connections = [];
    #heard = [];
    #driver;
    #room;
    #waiting = [];

    constructor({ room, url, hasty }, identity) {
      this.#room = new Room(
        { room, url, identity, sid: randomSid(), name: "", metadata: {}, token: "" },
        {
          iceServers: [], relayOnly: false, receive: false, watchNetwork: true, timeout: 20,
          hasty, log: () => {},
        },
        this,
      );
      this.#room.addEventListener("link-changed", () => this.#ring());
      this.#room.addEventListener("message", ({ detail: { data } }) => {
        this.#heard.push(data);
        this.#ring();
      });
    }

    // --- the host of its room ---

    adopt(driver) {
      this.#driver = driver;
    }

    open(config, emit) {
      const connection = new WatchedConnection(config, (event) => {
        emit(event);
        this.#ring();
      });
      this.#connections.push(connection);
      return connection;
    }

    #ring() {
      for (const wake of this.#waiting.splice(0)) wake();
    }

    async #until(holds) {
      while (!holds()) await new Promise((resolve) => this.#waiting.push(resolve));
    }

    // --- commands ---

    async enter() {
      await this.#room.enter();
    }

    /** Hand the link its wish at a time of the wall clock. */
    async want({ wish, at }) {
      await new Promise((resolve) => setTimeout(resolve, at * 1000 - Date.now()));
      const { id, sid } = this.#room.peers[0];
      this.#driver.feed({ type: "from-link", to: sessionKey(id, sid), event: wish });
    }

    async rest({ generation }) {
      await this.#until(() => this.#settled(generation));
      return this.#state();
    }

    get #link() {
      const [other] = this.#room.peers;
      return other === undefined ? null : this.#room.link(other);
    }

    #settled(generation) {
      const link = this.#link;
      return link?.state === "connected" && link.generation >= generation
        && this.#connections.at(-1).atRest;
    }

    async say({ numbers }) {
      for (const number of numbers) await this.#room.send(number);
    }

    async hear({ count }) {
      await this.#until(() => this.#heard.length >= count);
      return this.#heard;
    }

    #state() {
      const link = this.#link;
      return {
        polite: link.polite,
        generation: link.generation,
        connections: this.#connections.length,
        rollbacks: this.#connections.reduce((sum, { rollbacks }) => sum + rollbacks, 0),
      };
    }

    async leave() {
      await this.#room.leave({ patience: 1 });
    }
  }

  /** Return an identity that is below the pivot, or is not. */
  async function identity(lower, pivot) {
    for (;;) {
      const found = await Identity.generate();
      if (found.id < pivot === lower) return found;
    }
  }

  const sides = new Map();
  globalThis.command = async (name, number, fields) => {
    if (name === "enter") {
      const url = `${location.origin.replace("http", "ws")}/ws`;
      const found = await identity(fields.lower, fields.pivot);
      sides.set(number, new Side({ ...fields, url }, found));
    }
    return sides.get(number)[name](fields);
  };
  return null;
})()
