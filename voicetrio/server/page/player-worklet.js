// Runs in the audio thread: plays what came, in order, and tells how far it is.
// The rules are those of docs/wire.md: it begins when `start` samples wait, at first, after a clear, and after it
// ran dry; a clear drops what was not played.

const REPORT_QUANTA = 4;       // of 128 samples
const PAUSE_S = 0.5;           // a longer silence is on purpose

class Player extends AudioWorkletProcessor {
  constructor({ processorOptions: { start } }) {
    super();
    this.start = start;
    this.queue = [];
    this.waiting = 0;
    this.position = 0;         // just past the last sample that was played
    this.epoch = 0;
    this.playing = false;
    this.dryAt = null;
    this.underruns = 0;
    this.quanta = 0;
    this.last = 0;
    this.peak = 0;
    this.over = false;
    this.port.onmessage = ({ data }) => this[data.what](data);
  }

  audio({ samples, position }) {
    this.queue.push({ samples: new Int16Array(samples), position, from: 0 });
    this.waiting += samples.byteLength / 2;
    if (!this.playing && this.waiting >= this.start) {
      if (this.dryAt !== null && currentTime - this.dryAt < PAUSE_S) this.underruns += 1;
      this.playing = true;
      this.dryAt = null;
    }
  }

  clear({ epoch, position }) {
    this.queue = [];
    this.waiting = 0;
    this.playing = false;
    this.dryAt = null;
    this.epoch = epoch;
    this.position = position;
    this.report();
  }

  close() {
    this.over = true;
  }

  process(_inputs, [[output]]) {
    const was = this.playing;
    let filled = 0;
    while (this.playing && filled < output.length) {
      const front = this.queue[0];
      if (!front) {
        this.playing = false;
        this.dryAt = currentTime + filled / sampleRate;
        break;
      }
      const count = Math.min(output.length - filled, front.samples.length - front.from);
      for (let i = 0; i < count; i += 1) output[filled + i] = front.samples[front.from + i] / 32768;
      front.from += count;
      filled += count;
      this.waiting -= count;
      this.position = front.position + front.from;
      if (front.from === front.samples.length) this.queue.shift();
    }
    // What stops in the middle of a wave would click: it runs out over the rest of the quantum.
    for (let i = filled; i < output.length && Math.abs(this.last) > 1e-4; i += 1)
      output[i] = this.last *= 0.9;
    this.last = output[output.length - 1];
    for (const sample of output) this.peak = Math.max(this.peak, Math.abs(sample));
    this.quanta += 1;
    if (was !== this.playing || (was && this.quanta % REPORT_QUANTA === 0)) this.report();
    return !this.over;
  }

  report() {
    this.port.postMessage({
      epoch: this.epoch, position: this.position, playing: this.playing,
      waiting: this.waiting, underruns: this.underruns, peak: this.peak,
    });
    this.peak = 0;
  }
}

registerProcessor("player", Player);
