/**
 * PeerJS's own server on a free port, which it prints; it also serves the client. It listens
 * on the address that it is given, else on loopback.
 */

import { fileURLToPath } from "node:url";

import { PeerServer } from "peer";

const client = fileURLToPath(import.meta.resolve("peerjs/dist/peerjs.min.js"));

const settings = { host: process.argv[2] ?? "127.0.0.1", port: 0, path: "/peers", concurrent_limit: 20_000 };
const app = PeerServer(settings, (server) => {
  console.log(server.address().port);
});
app.get("/peerjs.min.js", (_, response) => response.sendFile(client));
