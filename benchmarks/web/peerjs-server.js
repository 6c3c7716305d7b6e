/** PeerJS's own server on a free port of loopback, which it prints; it also serves the client. */

import { fileURLToPath } from "node:url";

import { PeerServer } from "peer";

const client = fileURLToPath(import.meta.resolve("peerjs/dist/peerjs.min.js"));

const app = PeerServer({ host: "127.0.0.1", port: 0, path: "/peers" }, (server) => {
  console.log(server.address().port);
});
app.get("/peerjs.min.js", (_, response) => response.sendFile(client));
