// One session, live: frames from the socket change the tree, the tree changes the page.

import { olderMessages, sendMessage } from "./api.js";
import { failure } from "./facts.js";
import { Socket } from "./socket.js";
import { byId, text } from "./start.js";
import { Transcript } from "./transcript.js";
import { Tree } from "./tree.js";

const LARGEST_FRAME = 60_000; // Bytes; larger messages go by REST.
const SESSION_GONE = 4404;

const newId = () => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
const isTooLarge = (frame) => new TextEncoder().encode(JSON.stringify(frame)).length > LARGEST_FRAME;

export class Conversation {
  /** `on` has changed(), session(part), updated(session), month(month), refused(content, words, files), created(message). */
  constructor(on) {
    this.on = on;
    this.tree = new Tree();
    this.outbox = new Map();
    this.files = new Map();
    this.wishes = new Map();
    this.transcript = new Transcript(this.tree, {
      edit: (message, content) => this.edit(message, content),
      stop: (message) => this.stopReply(message),
      regenerate: (message) => this.wish({ type: "reply.regenerate", message_id: message.id }),
      changed: () => on.changed(),
    });
    byId("older").addEventListener("click", () => this.loadOlder());
  }

  /** Show what the server put into the page, and connect. */
  open(sessionId, snapshot) {
    this.sessionId = sessionId;
    if (snapshot) this.snapshot(snapshot);
    this.socket = new Socket(`/ws/chat/${sessionId}/?html=1`, {
      open: () => this.connected(),
      frame: (frame) => this.receive(frame),
      lost: () => this.showBanner(text("reconnecting")),
      ended: (code) => this.showBanner(code === SESSION_GONE ? text("error_not_found") : text("signed_out"), true),
    });
  }

  connected() {
    byId("banner").hidden = true;
    for (const frame of [...this.outbox.values(), ...this.wishes.values()]) this.socket.send(frame);
    this.wishes.clear();
    for (const message of this.tree.messages.values()) {
      if (message.state === "pending" && message.seq) this.resume(message);
    }
  }

  resume(message) {
    this.socket.send({ type: "resume", message_id: message.id, after: message.seq });
  }

  showBanner(content, isFinal = false) {
    const banner = byId("banner");
    banner.textContent = content;
    banner.classList.toggle("bad", isFinal);
    banner.hidden = false;
  }

  send(frame) {
    return this.socket?.send(frame) ?? false;
  }

  /** Send a frame now, or once, however often it was clicked, as soon as there is a connection. */
  wish(frame) {
    if (!this.send(frame)) this.wishes.set(`${frame.type} ${frame.message_id}`, frame);
  }

  /** Send a message, as often as it takes: the server knows it by its client_id. */
  say(content, files = []) {
    const clientId = newId();
    const frame = { type: "message.send", client_id: clientId, content };
    if (files.length) frame.attachments = files.map((file) => file.id);
    this.files.set(clientId, files);
    if (this.tree.leaf) frame.parent_id = this.tree.leaf;
    this.transcript.showUnsent(clientId, content || files.map((file) => file.name).join(", "));
    if (isTooLarge(frame)) this.sayByRest(frame);
    else this.post(frame);
  }

  /** Send a frame that makes messages again after every reconnection, until the server has confirmed it. */
  post(frame) {
    this.outbox.set(frame.client_id, frame);
    this.send(frame);
  }

  async sayByRest({ type, ...message }) {
    try {
      await sendMessage(this.sessionId, message);
    } catch (error) {
      this.refuse(message.client_id, message.content, error);
    }
  }

  edit(message, content) {
    const frame = { type: "message.edit", client_id: newId(), message_id: message.id, content };
    if (isTooLarge(frame)) this.on.refused(content, failure({ code: "invalid_input" }));
    else this.post(frame);
  }

  stop() {
    const reply = this.tree.pending();
    if (reply) this.stopReply(reply);
  }

  stopReply(reply) {
    this.wish({ type: "reply.stop", message_id: reply.id });
  }

  receive(frame) {
    const handler = this[HANDLERS[frame.type]];
    if (handler) handler.call(this, frame, this.tree.get(frame.message_id));
  }

  snapshot({ session, messages, month, has_more: hasMore }) {
    const isFirst = this.tree.messages.size === 0;
    for (const message of messages) this.take(message);
    if (isFirst) byId("older").hidden = !hasMore;
    this.transcript.render();
    for (const message of messages) this.transcript.update(this.tree.get(message.id));
    this.on.session(session);
    this.on.month(month);
    this.on.changed();
  }

  sessionUpdated({ session }) {
    this.on.updated(session);
  }

  take(message) {
    this.tree.add(message);
    if (!message.client_id) return;
    this.outbox.delete(message.client_id);
    this.files.delete(message.client_id);
    this.transcript.dropUnsent(message.client_id);
  }

  created({ message }) {
    this.take(message);
    this.transcript.render();
    this.transcript.update(this.tree.get(message.id));
    this.on.created(message);
    this.on.changed();
  }

  progress({ type, ...told }, message) {
    if (!message) return;
    message.progress = { ...told, kind: type.replace("reply.", "") };
    this.transcript.update(message);
    this.on.changed();
  }

  fallback(frame, message) {
    if (!message) return;
    message.fallback = frame;
    this.transcript.update(message);
  }

  reset({ seq }, message) {
    if (!message || seq <= message.seq) return;
    Object.assign(message, { seq, isRestarted: true });
    this.transcript.update(message);
  }

  /** Its text comes painted; what has been told counts, for the place to resume from. */
  delta({ seq }, message) {
    if (message) message.seq = Math.max(message.seq, seq);
  }

  html({ keep, html }, message) {
    if (message?.state === "pending") this.transcript.paint(message, keep, html);
  }

  ended({ type, message: told, session, month }, message) {
    if (!message) return;
    const wasPending = message.state === "pending";
    Object.assign(message, told, { progress: null });
    this.transcript.update(message);
    this.on.session(session);
    this.on.month(month);
    this.on.changed(wasPending ? type : null);
  }

  refused({ client_id: clientId, code, detail }) {
    const frame = this.outbox.get(clientId);
    const error = { code, message: detail };
    if (frame) this.refuse(clientId, frame.content, error);
    else this.on.refused("", failure(error));
  }

  refuse(clientId, content, error) {
    this.outbox.delete(clientId);
    this.transcript.dropUnsent(clientId);
    const files = this.files.get(clientId) ?? [];
    this.files.delete(clientId);
    const isOfFiles = files.length && error.code === "invalid_input";
    this.on.refused(content, isOfFiles ? text("error_files") : failure(error), files);
  }

  async loadOlder() {
    const page = await olderMessages(this.sessionId, this.tree.oldestNumber()).catch(() => null);
    if (!page) return;
    this.transcript.keepingPlace(() => {
      for (const message of page.data) this.tree.add(message);
      byId("older").hidden = !page.has_more;
      this.transcript.render();
    });
  }
}

const HANDLERS = {
  "session.snapshot": "snapshot",
  "session.updated": "sessionUpdated",
  "message.created": "created",
  "reply.queued": "progress",
  "reply.started": "progress",
  "reply.fallback": "fallback",
  "reply.reset": "reset",
  "reply.delta": "delta",
  "reply.html": "html",
  "reply.completed": "ended",
  "reply.failed": "ended",
  "reply.cancelled": "ended",
  error: "refused",
};
