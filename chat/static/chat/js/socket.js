// A WebSocket that comes back: back-off from half a second to fifteen, with jitter, and a ping that notices dead lines.

const SHORTEST_WAIT = 500;
const LONGEST_WAIT = 15_000;
const PING_EVERY = 25_000;
const PONG_WITHIN = 10_000;
const NOT_AUTHENTICATED = 4401;
const NOT_FOUND = 4404;

export class Socket {
  /** `on` has open(), frame(object), lost() and ended(code). */
  constructor(path, on) {
    this.url = new URL(path, location.href);
    this.url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.on = on;
    this.failures = 0;
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
    this.connect();
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.waiting);
    this.waiting = null;
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => this.opened();
    socket.onmessage = (event) => this.received(JSON.parse(event.data));
    socket.onclose = (event) => socket === this.socket && this.closed(event.code);
  }

  opened() {
    this.failures = 0;
    this.pinging = setInterval(() => this.ping(), PING_EVERY);
    this.on.open();
  }

  received(frame) {
    clearTimeout(this.deadline);
    this.deadline = null;
    if (frame.type !== "pong") this.on.frame(frame);
  }

  ping() {
    this.send({ type: "ping" });
    this.deadline ??= setTimeout(() => this.abandon(), PONG_WITHIN);
  }

  /** A dead line may take minutes to close by itself. */
  abandon() {
    this.socket.onclose = null;
    this.socket.close();
    this.closed(0);
  }

  closed(code) {
    clearInterval(this.pinging);
    clearTimeout(this.deadline);
    this.deadline = null;
    if (code === NOT_AUTHENTICATED || code === NOT_FOUND) {
      this.on.ended(code);
      return;
    }
    this.on.lost();
    const wait = Math.min(LONGEST_WAIT, SHORTEST_WAIT * 2 ** this.failures) * (0.75 + Math.random() / 2);
    this.failures += 1;
    this.waiting = setTimeout(() => this.connect(), wait);
  }

  retryNow() {
    if (this.waiting) this.connect();
  }

  send(frame) {
    if (this.isOpen) this.socket.send(JSON.stringify(frame));
    return this.isOpen;
  }
}
