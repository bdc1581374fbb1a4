// The times of each turn, from the user's last sound to the agent's first one at the user's ear.
// Times of the server are only compared with each other, times of this page likewise.

// How fast the capture clock may run ahead of this page's.
const DRIFT = 2e-4;
// No frame waits this long in a page that lives.
const GAP_MS = 1000;

export class Timings {
  /** `show(reply, rows)` is called when a turn's times are known. */
  constructor(inputRate, outputRate, show) {
    this.inputRate = inputRate;
    this.outputRate = outputRate;
    this.show = show;
    this.recordedZero = Infinity;     // when the capture clock's sample 0 was recorded, on this page's clock
    this.sent = 0;
    this.typedAt = 0;
    this.turn = null;
    this.replies = new Map();
    this.awaited = [];
  }

  /** A frame of the microphone has reached this page: at once, or later when the page is busy. */
  recorded(samples) {
    this.sent += samples;
    const zero = performance.now() - this.sent / this.inputRate * 1000;
    // The frame that waited least tells the time best; after a gap in the recording the count begins anew.
    const best = this.recordedZero + samples / this.inputRate * 1000 * DRIFT;
    this.recordedZero = zero > best + GAP_MS ? zero : Math.min(best, zero);
  }

  /** After a lost connection the capture clock goes on at `sent`. */
  goOnAt(sent) {
    this.sent = sent;
    this.recordedZero = Infinity;
    this.awaited = [];
  }

  /** The user typed something just now. */
  typed() {
    this.typedAt = performance.now();
  }

  take(event) {
    const reply = this.replies.get(event.reply);
    switch (event.event) {
      case "turn_ended":
        this.turn = event;
        break;
      case "reply_opened":
        this.replies.set(event.reply, { opened: event.time });
        break;
      case "reply_first_text":
        if (reply) reply.text = event.time;
        break;
      case "reply_first_audio":
        if (reply) reply.audio = event.time;
        break;
      case "reply_audible":
        if (reply && this.turn) this.awaited.push({ name: event.reply, position: event.position, turn: this.turn });
        this.turn = null;
        break;
      case "reply_ended": case "reply_retracted":
        this.awaited = this.awaited.filter(({ name }) => name !== event.reply);
        this.replies.delete(event.reply);
        break;
    }
  }

  /** Everything before `position` was heard just now. */
  heardTo(position) {
    const [first] = this.awaited;
    if (!first || position <= first.position) return;
    this.awaited.shift();
    const { turn, name } = first;
    const { opened, text, audio } = this.replies.get(name) ?? {};
    const ear = performance.now() - (position - first.position) / this.outputRate * 1000;
    const spoken = turn.stt_s !== null;
    const asked = spoken ? this.recordedZero + turn.position / this.inputRate * 1000 : this.typedAt;
    const rows = [["Answered after", ear - asked]];
    if (spoken) rows.push(["waited", turn.waited_s * 1000], ["recognition", turn.stt_s * 1000]);
    if (text) rows.push(["model", (text - opened) * 1000]);
    if (text && audio) rows.push(["voice", (audio - text) * 1000]);
    this.show(name, rows);
  }
}
