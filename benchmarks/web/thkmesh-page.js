/** What a page does in the benchmark `pages`, with THKMesh. */

globalThis.load = async () => {
  globalThis.mesh = await import("/thkmesh/index.js");
};

/** Be in the room, and greet whoever joins. */
globalThis.greet = async () => {
  const room = await mesh.join({ room: "benchmark", name: "greeter" });
  room.addEventListener("peer-joined", ({ detail }) => room.send("hello", { to: detail.peer }));
};

/** Join, and return when what had happened, in milliseconds. */
globalThis.arrive = async () => {
  const laps = (globalThis.laps = {});
  const start = performance.now();
  const room = await mesh.join({ room: "benchmark", name: "newcomer" });
  laps.joined = performance.now() - start;
  globalThis.depart = () => room.leave();
  for await (const event of room) {
    if (event.type === "link-changed" && event.state === "connected") {
      laps.connected ??= performance.now() - start;
    }
    if (event.type === "message") break;
  }
  laps.message = performance.now() - start;
  return laps;
};
