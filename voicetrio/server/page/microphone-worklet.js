// Runs beside the page, in the audio thread: takes what the microphone records, at the device's rate, and gives
// 16-bit samples at the rate of the wire, 20 ms at a time.  Without a microphone it gives silence, because the
// server's clock for what the user says counts samples.

const ZEROS_A_SIDE = 16;   // of the sinc function: a transition of about 1 kHz around the new Nyquist frequency
const PHASES = 256;        // places between two samples at which the kernel is known

/** A windowed-sinc low-pass filter, sampled at `PHASES` places between two input samples. */
function makeKernel(ratio) {
  const cutoff = 0.92 / Math.max(1, ratio);
  const half = Math.ceil(ZEROS_A_SIDE / cutoff);
  const rows = [];
  for (let phase = 0; phase < PHASES; phase += 1) {
    const row = new Float32Array(2 * half);
    let sum = 0;
    for (let tap = 0; tap < row.length; tap += 1) {
      const x = tap - half + 1 - phase / PHASES;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * x * cutoff) / (Math.PI * x * cutoff);
      row[tap] = sinc * (0.5 + 0.5 * Math.cos(Math.PI * Math.max(-1, Math.min(1, x / half))));
      sum += row[tap];
    }
    rows.push(row.map((value) => value / sum));
  }
  return { half, rows };
}

class Microphone extends AudioWorkletProcessor {
  constructor({ processorOptions: { rate } }) {
    super();
    this.ratio = sampleRate / rate;
    this.kernel = this.ratio === 1 ? null : makeKernel(this.ratio);
    this.input = new Float32Array(0);
    this.at = this.kernel ? this.kernel.half : 0;   // where in `input` the next sample lies
    this.frame = new Int16Array(rate / 50);
    this.filled = 0;
    this.peak = 0;
    this.muted = false;
    this.over = false;
    this.port.onmessage = ({ data }) => Object.assign(this, data);
  }

  process(inputs) {
    const channels = inputs[0] ?? [];
    const block = new Float32Array(128);
    if (!this.muted)
      for (const channel of channels)
        for (let i = 0; i < block.length; i += 1) block[i] += channel[i] / channels.length;
    if (this.kernel) this.resample(block);
    else block.forEach((sample) => this.put(sample));
    return !this.over;
  }

  resample(block) {
    const { half, rows } = this.kernel;
    const input = new Float32Array(this.input.length + block.length);
    input.set(this.input);
    input.set(block, this.input.length);
    while (Math.ceil(this.at) + half < input.length) {
      const whole = Math.floor(this.at);
      const row = rows[Math.floor((this.at - whole) * PHASES)];
      const first = whole - half + 1;
      let sum = 0;
      for (let tap = 0; tap < row.length; tap += 1) sum += row[tap] * input[first + tap];
      this.put(sum);
      this.at += this.ratio;
    }
    const drop = Math.max(0, Math.floor(this.at) - half);
    this.input = input.slice(drop);
    this.at -= drop;
  }

  put(sample) {
    const clipped = Math.max(-1, Math.min(1, sample));
    this.peak = Math.max(this.peak, Math.abs(clipped));
    this.frame[this.filled] = Math.round(clipped * 32767);
    this.filled += 1;
    if (this.filled === this.frame.length) {
      const samples = this.frame.slice();
      this.port.postMessage({ samples: samples.buffer, peak: this.peak }, [samples.buffer]);
      this.filled = this.peak = 0;
    }
  }
}

registerProcessor("microphone", Microphone);
