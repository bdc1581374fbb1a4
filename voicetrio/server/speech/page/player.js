// Plays samples as they come, one after the other, and tells how far it is.

export class Player {
  constructor(onEnded) {
    this.onEnded = onEnded;
    this.context = null;
    this.sources = new Set();
    this.next = 0;            // when the next samples begin, on the context's clock
    this.start = 0;           // when the first ones began
    this.late = 0;            // silence that was put in because samples came too late
    this.length = 0;          // seconds that came
    this.isComplete = false;
  }

  /** Must be called in a gesture of the user, or the browser stays silent. */
  async open() {
    this.context = new AudioContext();
    await this.context.resume();
  }

  push(samples, rate) {
    if (!samples.length || !this.context) return;
    const buffer = this.context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.context.destination);
    const soonest = this.context.currentTime + 0.03;
    if (!this.length) this.start = this.next = soonest;
    else if (this.next < soonest) { this.late += soonest - this.next; this.next = soonest; }
    source.start(this.next);
    this.next += buffer.duration;
    this.length += buffer.duration;
    this.sources.add(source);
    source.onended = () => { this.sources.delete(source); this.#checkEnd(); };
  }

  /** Nothing follows. */
  complete() {
    this.isComplete = true;
    this.#checkEnd();
  }

  /** Seconds of the speech that were heard. */
  get position() {
    if (!this.length) return 0;
    const delay = this.context.outputLatency || this.context.baseLatency || 0;
    return Math.min(Math.max(this.context.currentTime - delay - this.start - this.late, 0), this.length);
  }

  async close() {
    for (const source of this.sources) { source.onended = null; source.stop(); }
    this.sources.clear();
    const context = this.context;
    this.context = null;
    if (context) await context.close();
  }

  #checkEnd() {
    if (this.isComplete && !this.sources.size) this.onEnded();
  }
}
