/** THKMesh in the benchmark `recovery`: a room of two. */

let room;
let linked;

globalThis.prepare = async (name) => {
  const mesh = await import("/thkmesh/index.js");
  room = await mesh.join({ room: name, relay: told.relay });
  linked = new Promise((resolve) => {
    room.addEventListener("link-changed", ({ detail }) => detail.state === "connected" && resolve());
  });
  room.addEventListener("message", ({ detail }) => hear(detail.data));
  room.addEventListener("path-changed", ({ detail }) => {
    relays.push([Date.now(), detail.path === "relay"]);
  });
};

globalThis.connect = () => linked;

globalThis.say = (message) => void room.send(message);

globalThis.end = () => room.leave({ patience: 0 });
