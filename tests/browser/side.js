// One side of a pair, in a page: our session, link and connection over our signaling,
// with a way to wish for a negotiation, and every call of RTCPeerConnection written down.
// An expression: a function that is evaluated in a page of the server's origin.
async () => {
  const { SendWindow } = await import("/thkmesh/core/window.js");
  const { encode } = await import("/thkmesh/core/frames.js");
  const { sessionKey } = await import("/thkmesh/core/identity.js");
  const { Session } = await import("/thkmesh/core/session.js");
  const { Driver } = await import("/thkmesh/driver.js");
  const { CAPABILITIES, Connection } = await import("/thkmesh/engine.js");
  const { Identity, randomSid } = await import("/thkmesh/keys.js");
  const { SignalingClient } = await import("/thkmesh/signaling.js");

  const LETTERS = {
    "local offer": "O", "local answer": "A", "local rollback": "R",
    "remote offer": "o", "remote answer": "a",
  };
  const STATES = {
    O: "have-local-offer", A: "stable", R: "stable", o: "have-remote-offer", a: "stable",
  };
  const PATIENCE_MS = 15_000;
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const until = async (what, holds) => {
    const end = performance.now() + PATIENCE_MS;
    while (!holds()) {
      if (performance.now() > end) throw new Error(`in vain: ${what()}`);
      await sleep(2);
    }
  };
  const ufrag = (pc) => /a=ice-ufrag:(\S+)/.exec(pc.localDescription?.sdp ?? "")?.[1] ?? "";

  /** @type {Side} */
  let side;

  /** Writes down what becomes of every call. */
  class Recorded extends RTCPeerConnection {
    constructor(...all) {
      super(...all);
      side.pcs.push(this);
    }

    setLocalDescription(description) {
      const type = description?.type
        ?? (this.signalingState === "have-remote-offer" ? "answer" : "offer");
      return this.#record(LETTERS[`local ${type}`], () => (
        description ? super.setLocalDescription(description) : super.setLocalDescription()
      ));
    }

    setRemoteDescription(description) {
      const letter = LETTERS[`remote ${description.type}`];
      return this.#record(letter, () => super.setRemoteDescription(description));
    }

    addIceCandidate(candidate) {
      return this.#record("c", () => super.addIceCandidate(candidate));
    }

    async #record(letter, operation) {
      const mine = side;
      if (mine.busy) mine.faults.push(`${letter} during ${mine.busy}`);
      mine.busy = letter;
      const begun = mine.next();
      try {
        await operation();
      } catch (error) {
        if (this.signalingState !== "closed") mine.faults.push(`${letter}: ${error}`);
        throw error;
      } finally {
        mine.busy = "";
      }
      if (letter === "c") return;
      if (this.signalingState !== STATES[letter]) {
        mine.faults.push(`${letter} led to ${this.signalingState}`);
      }
      mine.steps.push({ letter, begun, done: mine.next(), ufrag: ufrag(this) });
    }
  }
  globalThis.RTCPeerConnection = Recorded;

  /** One session in one room, made of the product's parts as its `Room` is. */
  class Side {
    pcs = [];
    steps = [];
    faults = [];
    busy = "";
    heard = [];
    wishes = [];
    to = null;
    #said = 0;
    #moment = 0;
    #talking = false;
    #current = null;
    #asked = 0;

    constructor(room, identity) {
      const sid = randomSid();
      const url = `ws://${location.host}/ws`;
      const settings = { url, room, identity, sid, name: "", metadata: {}, token: "" };
      this.session = new Session(sessionKey(identity.id, sid), CAPABILITIES, Math.random);
      this.driver = new Driver(this.session, (output) => this.#perform(output));
      this.client = new SignalingClient(settings, (event) => this.driver.feed(event));
      this.driver.feed({ type: "start" });
    }

    get link() {
      return this.to === null ? null : this.session.link(this.to);
    }

    #perform(output) {
      const { to, number } = output;
      const connection = this.#current?.number === number ? this.#current?.connection : null;
      const feed = (event) => this.driver.feed({ type: "from-link", to, event });
      switch (output.type) {
        case "open-connection": {
          const { lowWaterBytes } = new SendWindow();
          const config = { iceServers: [], relayOnly: false, lowWaterBytes };
          const emit = (event) => {
            if (event.type.startsWith("operation-")) this.#asked -= 1;
            feed({ type: "from-engine", number, event });
          };
          this.to = to;
          this.#current = { number, connection: new Connection(config, emit) };
          break;
        }
        case "close-connection":
          void connection?.close(output.drain);
          break;
        case "perform":
          if (connection !== null) this.#asked += 1;
          connection?.perform(output.operation);
          break;
        case "send-frame":
          connection?.send(output.channel, output.frame);
          break;
        case "mark-low":
          connection?.markLow(0, output.sizeBytes);
          break;
        case "measure-buffer":
          feed({ type: "measured", number, heldBytes: connection?.bufferedBytes(0) ?? 0 });
          break;
        case "emit":
          if (output.event.type === "refused") this.faults.push(String(output.event.error));
          break;
        case "deliver":
          this.heard.push(output.message.data);
          feed({ type: "read", stream: output.stream, size: output.cost });
          break;
        case "transmit-signal":
          this.client.signal(output);
          break;
        case "open-socket":
          this.client.open();
          break;
        case "close-socket":
          this.client.close();
          break;
        case "say-hello":
          this.client.hello(output.nonce, output.resume);
          break;
        case "send-to-server":
          this.client.send(output.message);
          break;
        default:
      }
    }

    /** Whether nothing is left to negotiate: nothing is asked of the browser, or of the other. */
    get atRest() {
      return this.#asked === 0 && this.pcs.at(-1).signalingState === "stable";
    }

    /** Return a number for this moment; a clock of whole milliseconds tells too few apart. */
    next() {
      this.#moment += 1;
      return this.#moment;
    }

    say(data) {
      this.driver.feed({ type: "send", token: 0, to: this.to, channel: "", ...encode(data) });
    }

    /** Say numbers until `finish`. */
    async talk() {
      this.#talking = true;
      while (this.#talking) {
        this.say(this.#said);
        this.#said += 1;
        await sleep(5);
      }
    }

    /** Say that this was all. */
    hush() {
      this.#talking = false;
      this.say("end");
    }

    wish(iceRestart) {
      this.wishes.push({ at: this.next(), iceRestart, ufrag: ufrag(this.pcs.at(-1)) });
      const event = { type: "change", iceRestart };
      this.driver.feed({ type: "from-link", to: this.to, event });
    }

    /** Tell whether a wish was in an exchange that began after it, and is complete. */
    granted({ at, iceRestart, ufrag: before }) {
      return this.steps.some(({ letter, done, ufrag: now }, index) => {
        // What the other side restarts is restarted here too, in the same exchange.
        if (iceRestart && "aA".includes(letter) && done > at && now !== before) return true;
        const offer = this.steps[index - 1];
        return !iceRestart && letter === "a" && offer?.letter === "O" && offer.begun > at;
      });
    }

    get trace() {
      return this.steps.map(({ letter }) => letter).join("");
    }
  }

  globalThis.negotiating = {
    /** Enter a room; polite to the peer of an id, or impolite, if one is given. */
    async enter(room, other, polite) {
      let identity = await Identity.generate();
      while (other !== null && identity.id < other !== polite) identity = await Identity.generate();
      side = new Side(room, identity);
      return identity.id;
    },

    /** Wait for the link. */
    async connected() {
      await until(() => `a link, ${side.trace}`, () => side.link?.state === "connected"
        && side.pcs.at(-1).signalingState === "stable");
    },

    /** From a time on wish for something, once more after each gap; return once it is so. */
    async run(start, gaps, iceRestart) {
      void side.talk();
      while (Date.now() < start) await sleep(1);
      for (const gap of gaps) {
        side.wish(iceRestart);
        await sleep(gap);
      }
      side.wish(iceRestart);
      await until(() => `a wish, ${side.trace}`, () => side.wishes.every((w) => side.granted(w)));
    },

    /** Say the last word, hear the other's, and tell what happened. */
    async finish() {
      // A wish may have been granted by the other's exchange, and have one of its own to come.
      await until(() => `rest, ${side.trace}`, () => side.atRest);
      side.hush();
      await until(() => `the end, ${side.trace}`, () => side.heard.at(-1) === "end" && side.atRest);
      const { trace, faults, heard } = side;
      const ordered = heard.slice(0, -1).every((said, index) => said === index);
      const exchanges = (trace.match(/Oa|oA/g) ?? []).length;
      return {
        trace, faults, ordered, exchanges, wishes: side.wishes.length, heard: heard.length,
        polite: side.link.polite, connections: side.pcs.length,
      };
    },

    async leave() {
      side.driver.feed({ type: "leave", patience: 0 });
      side.driver.feed({ type: "tick" });
      await side.client.flushed();
    },
  };
}
