// The microphone: 16-bit samples, 20 ms at a time; silence as long as there is none.

/** Why the browser gives no microphone, in words for a person. */
const REASONS = {
  NotAllowedError: "The browser does not allow this page to use the microphone. "
    + "Allow it beside the address of this page, then press “Use the microphone”. You can also type.",
  NotFoundError: "This device has no microphone. You can type instead.",
  NotReadableError: "Another program uses the microphone. Close it, then press “Use the microphone”. You can also type.",
  Insecure: "A browser gives the microphone only to pages that come over HTTPS or from this machine. "
    + "You can type instead.",
};

export class Microphone {
  /** Give silence, until `ask` was answered. */
  static async open(rate, onFrame) {
    const context = new AudioContext({ latencyHint: "interactive" });
    await context.audioWorklet.addModule("microphone-worklet.js");
    await context.resume();
    return new Microphone(context, rate, onFrame);
  }

  constructor(context, rate, onFrame) {
    this.context = context;
    this.stream = null;
    this.level = 0;
    this.node = new AudioWorkletNode(context, "microphone", {
      numberOfInputs: 1, numberOfOutputs: 0, processorOptions: { rate },
    });
    this.node.port.onmessage = ({ data }) => {
      this.level = data.peak;
      onFrame(data.samples);
    };
  }

  /** Ask the user for the microphone; return what a person must know about the answer, "" if all is well. */
  async ask() {
    if (!navigator.mediaDevices) return REASONS.Insecure;
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
      });
    } catch (error) {
      return REASONS[error.name] ?? `The microphone cannot be used (${error.name}). You can type instead.`;
    }
    if (this.context.state === "closed") {
      stream.getTracks().forEach((track) => track.stop());
      return "";
    }
    this.stream = stream;
    this.context.createMediaStreamSource(stream).connect(this.node);
    return this.cancelsEcho ? ""
      : "This browser does not keep the agent's voice out of the microphone: use headphones.";
  }

  /** False if the browser says that the agent's voice will come back through the microphone. */
  get cancelsEcho() {
    return this.stream?.getAudioTracks()[0].getSettings().echoCancellation !== false;
  }

  /** Send silence instead of what is recorded. */
  mute(muted) {
    this.node.port.postMessage({ muted });
  }

  close() {
    this.node.port.postMessage({ over: true });
    this.node.port.onmessage = null;
    this.stream?.getTracks().forEach((track) => track.stop());
    return this.context.close();
  }
}
