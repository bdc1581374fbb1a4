// The client's side of the wire (docs/wire.md): audio as binary messages, JSON as text messages.

const REPORT_MS = 100;
const NO_GOODBYE = 1006;         // the browser's code for a connection that ended without a close frame
const FIRST_WAIT_MS = 250;       // between two tries to come back: twice as long each time
const LONGEST_WAIT_MS = 4000;

export class Wire {
  /**
   * Connect to the server that the page came from.  `on` has `hello(fields)`, `audio(buffer)`, `clear(fields)`,
   * `skip(position)`, `event(fields)`, `bye(reason)` and `closed(code, reason, wasOpen)`; and, for a network that
   * is lost, `lost()`, `back(fields)` and `played()`, which returns the epoch and position that were played.
   */
  constructor(address, on) {
    this.address = address;
    this.on = on;
    this.epoch = 0;
    this.marks = [];
    this.reported = { epoch: 0, position: 0, at: 0 };
    this.said = false;
    this.token = null;           // with which this conversation is found again
    this.graceMs = 0;
    this.lostAt = null;
    this.waitMs = 0;
    // What was connected over the network before is dead, though nobody says so.
    this.onOnline = () => this.token && this.lose(true);
    addEventListener("online", this.onOnline);
    this.connect(address);
  }

  connect(address) {
    const socket = new WebSocket(address);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => socket === this.socket && this.take(data);
    socket.onclose = ({ code, reason }) => socket === this.socket && this.closed(code, reason);
    this.socket = socket;
  }

  // --- a network that is lost ---

  closed(code, reason) {
    if (code === NO_GOODBYE && this.token) this.lose();
    else this.over(code, reason);
  }

  /**
   * Come back with the token, at first and with `atOnce` without waiting.  The old socket is left alone: a goodbye
   * from it would end the session.
   */
  lose(atOnce = false) {
    const now = performance.now();
    this.socket = null;
    clearTimeout(this.timer);
    if (this.lostAt === null || atOnce) {
      this.waitMs = FIRST_WAIT_MS;
      if (this.lostAt === null) this.on.lost();
      this.lostAt ??= now;
      this.redial();
    } else if (now - this.lostAt > this.graceMs) {
      this.over(NO_GOODBYE, "");
    } else {
      this.timer = setTimeout(() => this.redial(), this.waitMs * (0.5 + Math.random() / 2));
      this.waitMs = Math.min(this.waitMs * 2, LONGEST_WAIT_MS);
    }
  }

  redial() {
    const address = new URL(this.address);
    const { epoch, position } = this.on.played();
    for (const [name, value] of [["resume", this.token], ["epoch", epoch], ["played", position]])
      address.searchParams.set(name, value);
    this.connect(address);
  }

  hello(fields) {
    const isBack = this.said;
    this.said = true;
    this.token = fields.resume ?? null;
    this.graceMs = (fields.resume_within_s ?? 0) * 1000;
    if (!isBack) return this.on.hello(fields);
    this.lostAt = null;
    this.epoch = fields.epoch;
    this.marks = [];
    return this.on.back(fields);
  }

  over(code, reason) {
    this.forget();
    this.on.closed(code, reason, this.said);
  }

  forget() {
    clearTimeout(this.timer);
    removeEventListener("online", this.onOnline);
    this.token = null;
  }

  take(data) {
    if (typeof data !== "string") return this.on.audio(data);
    const fields = JSON.parse(data);
    switch (fields.type) {
      case "hello": return this.hello(fields);
      case "clear":
        this.epoch = fields.epoch;
        this.marks = [];
        return this.on.clear(fields);
      case "skip": return this.on.skip(fields.position);
      case "mark": return void this.marks.push(fields.position);
      case "event": return this.on.event(fields);
      case "bye": return this.on.bye(fields.reason);
      case "error": return console.warn(`the server did not understand a message: ${fields.message}`);
      default: return undefined;    // later versions add types
    }
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  send(fields) {
    if (this.isOpen) this.socket.send(JSON.stringify(fields));
  }

  audio(samples) {
    if (this.isOpen) this.socket.send(samples);
  }

  /** Tell what was played: every 100 ms, at a mark, and when it ends. */
  played(epoch, position, playing) {
    if (epoch !== this.epoch) return;           // from before a clear
    const now = performance.now();
    const last = this.reported;
    const marked = this.marks.some((mark) => mark <= position);
    const moved = epoch !== last.epoch || position !== last.position;
    if (!moved || (playing && !marked && now - last.at < REPORT_MS)) return;
    this.marks = this.marks.filter((mark) => mark > position);
    this.reported = { epoch, position, at: now };
    this.send({ type: "played", epoch, position });
  }

  type(text) {
    this.send({ type: "text", text });
  }

  /** Let the agent finish its sentence; the server closes after it. */
  end() {
    this.forget();
    this.send({ type: "end" });
  }

  close() {
    this.forget();
    this.socket?.close(1000);
    this.socket = null;
  }
}
