"""The client's side of the signaling WebSocket: transports, coding, signatures."""
