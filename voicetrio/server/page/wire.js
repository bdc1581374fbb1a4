// The client's side of the wire (docs/wire.md): audio as binary messages, JSON as text messages.

const REPORT_MS = 100;

export class Wire {
  /**
   * Connect to the server that the page came from.  `on` has `hello(fields)`, `audio(buffer)`, `clear(fields)`,
   * `skip(position)`, `event(fields)`, `bye(reason)` and `closed(code, reason, wasOpen)`.
   */
  constructor(address, on) {
    this.on = on;
    this.epoch = 0;
    this.marks = [];
    this.reported = { epoch: 0, position: 0, at: 0 };
    this.said = false;
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = ({ data }) => this.take(data);
    this.socket.onclose = ({ code, reason }) => on.closed(code, reason, this.said);
  }

  take(data) {
    if (typeof data !== "string") return this.on.audio(data);
    const fields = JSON.parse(data);
    switch (fields.type) {
      case "hello":
        this.said = true;
        return this.on.hello(fields);
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
    return this.socket.readyState === WebSocket.OPEN;
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
    this.send({ type: "end" });
  }

  close() {
    this.socket.close(1000);
  }
}
