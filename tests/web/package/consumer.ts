// What a TypeScript program may say, and what its compiler must not let it say.

import {
  ByteStream, Channel, ChannelClosed, Identity, InvalidArgument, join, JoinError, Kicked, MeshError,
  newSecret, NotAMember, NotGranted, NotListening, PeerError, Room, RoomFull, SecretWanted, StreamBroken,
  Subscription, Unauthorized, WouldWait,
} from "thkmesh";
import type {
  ChannelOptions, Content, Data, JoinOptions, Json, LeaveReason, LinkState, LinkView, Lost, MeshEvent,
  Message, PathChanged, Peer, PeerKicked, PeerLagging, Quality, QualityChanged, ServerState, Source,
  Undelivered,
} from "thkmesh";
import { Chat, displayed, HISTORY_LENGTH } from "thkmesh/chat";
import type { ChatEntry, ChatMessage } from "thkmesh/chat";

/** True for two types that are the same; `any` is the same as `any` alone. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2
  ? true : false;

function must<_Holds extends true>(): void {}

// --- joining ------------------------------------------------------------------------

export async function joining(): Promise<Room> {
  const everything: JoinOptions = {
    room: "lobby",
    url: "https://mesh.example",
    name: "Ada",
    metadata: { robot: true },
    identity: await Identity.generate(),
    token: "secret",
    secret: newSecret(),
    iceServers: [{ urls: "stun:stun.example" }, "stun:stun.example"],
    privacy: "relay",
    timeout: 3,
    signal: AbortSignal.abort(),
    receive: false,
    log: (line) => line.toUpperCase(),
  };
  must<Same<ReturnType<typeof join>, Promise<Room>>>();
  // @ts-expect-error a room has to be named
  await join({ name: "Ada" });
  await join({ url: "https://mesh.example/#lobby&secret=0123456789abcdefghijkl", name: "Ada" });
  // @ts-expect-error by text
  await join({ room: 7 });
  // @ts-expect-error a secret is text, too
  await join({ room: "lobby", secret: 7 });
  // @ts-expect-error an identity is of a tab, stable, or given
  await join({ room: "lobby", identity: "forever" });
  // @ts-expect-error "none" is no privacy
  await join({ room: "lobby", privacy: "none" });
  // @ts-expect-error seconds are a number
  await join({ room: "lobby", timeout: "10s" });
  await join({ room: "lobby", token: async () => "fresh" });
  await join({ room: "lobby", token: () => "fresh" });
  await join({ room: "lobby", password: "open sesame" });
  // @ts-expect-error a function returns a token
  await join({ room: "lobby", token: () => 7 });
  // @ts-expect-error that is for our own tests
  await join({ room: "lobby", hasty: true });
  // @ts-expect-error there is no such option
  await join({ room: "lobby", server: "https://mesh.example" });
  return join(everything);
}

// --- sending ------------------------------------------------------------------------

interface Reading { celsius: number }

type Position = { x: number, y: number };

export async function sending(
  room: Room, peer: Peer, signal: AbortSignal, reading: Reading, position: Position,
  readings: readonly Reading[],
): Promise<void> {
  await room.send("text");
  await room.send(new Uint8Array([1, 2, 3]));
  await room.send(new ArrayBuffer(8));
  await room.send({ position: [1, 2.5, null], moving: true });
  await room.send(position);
  await room.send({ ...reading });
  await room.send(reading);
  await room.send(readings);
  // @ts-expect-error bytes inside are not JSON
  await room.send({ bytes: new Uint8Array(1) });
  // @ts-expect-error a date is not JSON
  await room.send(new Date());
  // @ts-expect-error what may be undefined is not JSON
  await room.send({ maybe: undefined as number | undefined });
  await room.send(null, { to: peer });
  await room.send(0, { to: peer.id, signal });
  must<Same<ReturnType<Room["send"]>, Promise<void>>>();
  // @ts-expect-error nothing is no message
  await room.send();
  // @ts-expect-error undefined is not JSON
  await room.send(undefined);
  // @ts-expect-error a function is not JSON
  await room.send(() => "text");
  // @ts-expect-error a symbol inside is not JSON either
  await room.send({ inside: Symbol("no") });
  // @ts-expect-error a number names nobody
  await room.send("text", { to: 7 });
}

// --- channels -----------------------------------------------------------------------

export async function channels(
  room: Room, peer: Peer, signal: AbortSignal, position: Position,
): Promise<void> {
  const everything: ChannelOptions = {
    delivery: "reliable", priority: "high", receive: true, keep: true,
  };
  const channel: Channel = room.channel("cursors", everything);
  must<Same<ReturnType<Room["channel"]>, Channel>>();
  room.channel("cursors");
  // @ts-expect-error a channel has a name
  room.channel();
  // @ts-expect-error "perhaps" is no rule
  room.channel("cursors", { delivery: "perhaps" });
  // @ts-expect-error priorities have names
  room.channel("cursors", { priority: 16 });
  await channel.send(position, { to: peer, signal });
  channel.sendNow(new Uint8Array(1), { to: peer.id });
  room.sendNow("text");
  must<Same<ReturnType<Channel["sendNow"]>, void>>();
  // @ts-expect-error a date is not JSON
  channel.sendNow(new Date());
  // @ts-expect-error what is sent without waiting cannot be given up
  room.sendNow("text", { signal });
  await channel.flush({ signal });
  await room.flush();
  for await (const message of channel) {
    must<Same<typeof message, Message>>();
    must<Same<typeof message.channel, string>>();
  }
  const subscription: Subscription<Message> = channel.subscribe();
  for await (const { peer: { name }, direct } of subscription) console.log(name, direct);
  subscription.close();
  must<Same<typeof channel.name, string>>();
  must<Same<typeof channel.closed, boolean>>();
  must<Same<ReturnType<Channel["close"]>, Promise<void>>>();
  for (const Kind of [ChannelClosed, NotListening, StreamBroken, WouldWait]) {
    const above: MeshError = new Kind("text");
    console.log(above.name);
  }
}

// --- streams ------------------------------------------------------------------------

export async function streaming(room: Room, peer: Peer, file: File): Promise<string> {
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(1);
  }
  async function* texts(): AsyncGenerator<string> {
    yield "text";
  }
  await room.send(chunks());
  await room.send(file.stream(), { to: peer });
  await room.channel("files").send(chunks(), { signal: AbortSignal.timeout(1) });
  const source: Source = chunks();
  await room.send(source);
  // @ts-expect-error a stream is made of bytes
  await room.send(texts());
  // @ts-expect-error a stream takes its time
  room.sendNow(chunks());
  for await (const event of room) {
    if (event.type !== "message" || !(event.data instanceof ByteStream)) continue;
    must<Same<typeof event.data, ByteStream>>();
    for await (const chunk of event.data) {
      must<Same<typeof chunk, Uint8Array<ArrayBuffer>>>();
      if (chunk.length > 9) event.data.cancel();
    }
    const readable: ReadableStream<Uint8Array> = event.data.readable;
    console.log(new Response(readable));
    const all: Uint8Array = await event.data.readAll({ limit: 9 });
    // @ts-expect-error a limit is a number
    await event.data.readAll({ limit: "9" });
    return String(all.length);
  }
  return "";
}

// --- receiving ----------------------------------------------------------------------

/** Every kind of event, and what each of them has. */
function told(event: MeshEvent): string {
  switch (event.type) {
    case "peer-joined":
      must<Same<typeof event.peer, Peer>>();
      return event.peer.name;
    case "peer-left":
      must<Same<typeof event.reason, LeaveReason>>();
      // @ts-expect-error nobody is abducted
      return event.reason === "abducted" ? "?" : event.peer.id;
    case "peer-kicked":
      must<Same<typeof event, PeerKicked>>();
      must<Same<typeof event.peer, Peer | null>>();
      return `${event.id} ${event.until.toFixed()} ${event.why}`;
    case "message":
      must<Same<typeof event, Message>>();
      must<Same<typeof event.data, Content>>();
      must<Same<Content, Data | ByteStream>>();
      must<Same<typeof event.direct, boolean>>();
      must<Same<typeof event.channel, string>>();
      // @ts-expect-error it may be bytes, or a number
      return event.data.toUpperCase();
    case "lost":
      must<Same<typeof event, Lost>>();
      // @ts-expect-error how many is not always known
      event.count.toFixed();
      return event.count?.toFixed() ?? "some";
    case "peer-lagging":
      must<Same<typeof event, PeerLagging>>();
      return event.count.toFixed();
    case "undelivered":
      must<Same<typeof event, Undelivered>>();
      return event.count.toFixed();
    case "link-changed":
      must<Same<typeof event.state, LinkState>>();
      return event.state;
    case "path-changed":
      must<Same<typeof event, PathChanged>>();
      return event.path ?? "no path";
    case "quality-changed":
      must<Same<typeof event, QualityChanged>>();
      must<Same<typeof event.quality, Quality>>();
      // @ts-expect-error grades are words
      event.quality.grade.toFixed();
      return event.quality.path?.local ?? event.quality.grade;
    case "server-changed":
      must<Same<typeof event.state, ServerState>>();
      must<Same<typeof event.error, MeshError | null>>();
      return event.error?.message ?? event.state;
    case "refused":
      must<Same<typeof event.error, PeerError>>();
      must<Same<typeof event.peer, Peer | null>>();
      return event.error.reason;
    default: {
      const none: never = event; // these are all
      return none;
    }
  }
}

export async function receiving(room: Room): Promise<void> {
  for await (const event of room) {
    must<Same<typeof event, MeshEvent>>();
    // @ts-expect-error not every event has data
    console.log(event.data);
    // @ts-expect-error no event is called so
    if (event.type === "massage") return;
    if (event.type === "message" && typeof event.data === "string") event.data.toUpperCase();
    if (event.type === "message" && event.data instanceof Uint8Array) event.data.byteLength;
    console.log(told(event));
  }
  const subscription: Subscription = room.subscribe({ unread: true });
  for await (const event of subscription) must<Same<typeof event, MeshEvent>>();
  subscription.close();
  room.addEventListener("link-changed", ({ detail }) => {
    must<Same<typeof detail.state, LinkState>>();
    // @ts-expect-error that is in a message
    console.log(detail.data);
  });
  room.addEventListener("anything", (event) => {
    must<Same<typeof event, Event>>();
  });
  // @ts-expect-error the events of a room are in order, not in an array
  room[0];
}

// --- looking, and leaving -------------------------------------------------------------

export async function looking(room: Room): Promise<void> {
  must<Same<typeof room.name, string>>();
  must<Same<typeof room.me, Peer>>();
  must<Same<typeof room.peers, Peer[]>>();
  must<Same<typeof room.server, ServerState>>();
  must<Same<typeof room.closed, boolean>>();
  for (const peer of room.peers) {
    must<Same<ReturnType<typeof room.link>, LinkView | null>>();
    // @ts-expect-error there may be no link
    room.link(peer).state;
    const stats = await room.stats(peer);
    must<Same<NonNullable<typeof stats>["rtt"], number | null>>();
    room.reconnect(peer);
    await room.kick(peer, { reason: "spam" });
    await room.ban(peer.id, { duration: 3600, reason: "spam", signal: AbortSignal.timeout(9) });
    // @ts-expect-error until when is a number of seconds
    await room.ban(peer, { duration: new Date() });
  }
  must<Same<typeof room.invitation, string>>();
  // @ts-expect-error who is there is not ours to say
  room.peers = [];
  await room.leave({ patience: 1 });
  await room.leave();
}

// --- errors -------------------------------------------------------------------------

export function errors(error: unknown): string {
  if (error instanceof RoomFull) {
    const above: JoinError & MeshError & Error = error;
    return above.message;
  }
  if (error instanceof Kicked) {
    const until: number | null = error.until;
    return `${error.why} ${until}`;
  }
  if (error instanceof NotGranted) {
    const above: Unauthorized & JoinError = error;
    return above.message;
  }
  if (error instanceof NotAMember || error instanceof SecretWanted) {
    const above: PeerError = error;
    return above.reason;
  }
  if (error instanceof PeerError) return error.reason;
  // @ts-expect-error only what a peer did has a reason
  if (error instanceof InvalidArgument) return error.reason;
  if (error instanceof MeshError) return error.name;
  return "our bug";
}

// --- chat ---------------------------------------------------------------------------

export async function chatting(room: Room): Promise<void> {
  const chat = new Chat(room);
  must<Same<ReturnType<typeof chat.say>, Promise<ChatMessage>>>();
  await chat.say("hello");
  await chat.say("hello", { to: room.me });
  await chat.showTyping();
  for await (const entry of chat) {
    must<Same<typeof entry, ChatEntry>>();
    if (entry.type === "chat-message") {
      must<Same<typeof entry.timestamp, Date>>();
      console.log(chat.nameOf(entry.author), displayed(entry.content));
    } else if (entry.type === "typing-changed") {
      must<Same<typeof entry.typing, boolean>>();
    }
    // @ts-expect-error a chat decodes messages
    if (entry.type === "message") return;
  }
  must<Same<typeof chat.history, ChatEntry[]>>();
  must<Same<typeof chat.typing, Peer[]>>();
  const limit: number = HISTORY_LENGTH;
  console.log(chat.history.length, "of", limit);
  // @ts-expect-error a room's name is no room
  new Chat("lobby");
  // @ts-expect-error only text can be said
  await chat.say(7);
}

// --- values -------------------------------------------------------------------------

export const json: Json = { deep: [{ deeper: [null, true, 1, "text"] }] };
// @ts-expect-error a date is not JSON
export const date: Json = new Date();
