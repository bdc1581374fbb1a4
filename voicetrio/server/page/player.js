// The loudspeaker: a queue of audio with positions on the playout clock.

export class Player {
  /** `onPlayed(epoch, position, playing)` is called some hundred times a second while it plays. */
  static async open(rate, onPlayed) {
    const context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    await context.audioWorklet.addModule("player-worklet.js");
    await context.resume();
    return new Player(context, rate, onPlayed);
  }

  constructor(context, rate, onPlayed) {
    this.context = context;
    this.rate = rate;
    this.onPlayed = onPlayed;
    this.node = null;
    this.incoming = 0;         // where the next sample stands
    this.floor = 0;            // nothing before it is played any more
    this.report = { epoch: 0, position: 0, playing: false, waiting: 0, underruns: 0, peak: 0 };
  }

  /** Be ready to play, beginning whenever `startMs` of audio wait. */
  start(startMs) {
    this.node = new AudioWorkletNode(this.context, "player", {
      numberOfInputs: 0, outputChannelCount: [1], processorOptions: { start: Math.round(this.rate * startMs / 1000) },
    });
    this.node.port.onmessage = ({ data }) => {
      this.report = data;
      this.onPlayed(data.epoch, this.heard(data), data.playing);
    };
    this.node.connect(this.context.destination);
  }

  /** Just past what the ear has had: what was played, less what is on its way through the device. */
  heard({ position, playing }) {
    const late = playing ? Math.round((this.context.outputLatency || this.context.baseLatency || 0) * this.rate) : 0;
    return Math.max(this.floor, position - late);
  }

  /** The epoch of the last clear that was obeyed, and just past what the ear has had in it. */
  get played() {
    return { epoch: this.report.epoch, position: this.heard(this.report) };
  }

  push(samples) {
    const position = this.incoming;
    this.incoming += samples.byteLength / 2;
    this.node.port.postMessage({ what: "audio", samples, position }, [samples]);
  }

  /** What comes next stands at `position`: what lies in between was never sent. */
  skip(position) {
    this.incoming = position;
  }

  /** Drop what was not played. */
  clear(epoch, position) {
    this.incoming = this.floor = position;
    this.node.port.postMessage({ what: "clear", epoch, position });
  }

  close() {
    if (this.node) {
      this.node.port.onmessage = null;
      this.node.port.postMessage({ what: "close" });
    }
    return this.context.close();
  }
}
