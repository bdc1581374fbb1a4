// The page: a call button, a transcript, and a line to type in.

import { Microphone } from "./microphone.js";
import { Player } from "./player.js";
import { Timings } from "./timings.js";
import { Transcript } from "./transcript.js";
import { Wire } from "./wire.js";

const INPUT_HZ = 16000;
const OUTPUT_HZ = 24000;
const METER_MS = 60;

const $ = (id) => document.getElementById(id);
const transcript = new Transcript($("transcript"), $("empty"));

const STATES = {
  idle: "Not connected", connecting: "Connecting…", listening: "Listening", hearing: "Hearing you",
  thinking: "Thinking…", speaking: "Speaking", ending: "Saying goodbye…", trouble: "Not connected",
  lost: "Connection lost, trying again…",
};

function show(state) {
  $("state").dataset.state = state;
  $("state").textContent = STATES[state];
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

/** The server's address: this page's own, with what the page was given (`#token=…`). */
function address() {
  const url = new URL("/", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const query = new URLSearchParams(location.hash.slice(1));
  query.set("input_rate", INPUT_HZ);
  query.set("output_rate", OUTPUT_HZ);
  url.search = query;
  return url;
}

/** One call, from the button to the goodbye. */
class Call {
  constructor() {
    this.user = this.agent = "listening";
    this.over = false;
    this.ending = false;
    this.typed = [];
    this.ready = false;
  }

  /** Connect; `speaking` asks for the microphone first. */
  async open(speaking) {
    show("connecting");
    notice("");
    transcript.clear();
    this.timings = new Timings(INPUT_HZ, OUTPUT_HZ, (name, rows) => transcript.timings(name, rows));
    this.player = await Player.open(OUTPUT_HZ, (epoch, position, playing) => this.heard(epoch, position, playing));
    this.microphone = await Microphone.open(INPUT_HZ, (samples) => this.record(samples));
    if (speaking) notice(await this.microphone.ask());
    if (this.over) return;
    this.wire = new Wire(address(), {
      hello: (fields) => this.hello(fields),
      audio: (samples) => this.player.push(samples),
      clear: ({ epoch, position }) => this.player.clear(epoch, position),
      skip: (position) => this.player.skip(position),
      event: (event) => this.take(event),
      bye: () => { this.ending = true; },
      closed: (code, reason, wasOpen) => this.closed(code, reason, wasOpen),
      lost: () => this.lost(),
      back: (fields) => this.back(fields),
      played: () => this.player.played,
    });
  }

  hello({ lead_ms: leadMs }) {
    this.player.start(leadMs);
    this.wire.send({ type: "hello", client: "page" });
    this.goOn();
    this.showMute();
    $("meters").hidden = false;
    this.meter = setInterval(() => this.showLevels(), METER_MS);
  }

  /** The network is gone: the server waits with the conversation, and the page calls again. */
  lost() {
    this.ready = false;
    this.showState();
  }

  /** The server sends again what was not heard, and says where both clocks stand. */
  back({ epoch, position, captured }) {
    this.player.clear(epoch, position);
    transcript.rewound();
    this.timings.goOnAt(captured);
    this.goOn();
  }

  goOn() {
    this.ready = true;
    this.typed.splice(0).forEach((text) => this.type(text));
    this.showState();
  }

  record(samples) {
    if (!this.ready) return;
    this.timings.recorded(samples.byteLength / 2);
    this.wire.audio(samples);
  }

  heard(epoch, position, playing) {
    this.wire.played(epoch, position, playing);
    if (epoch !== this.wire.epoch) return;
    transcript.heardTo(position);
    this.timings.heardTo(position);
  }

  type(text) {
    if (!this.ready) return void this.typed.push(text);
    this.timings.typed();
    this.wire.type(text);
    return undefined;
  }

  take(event) {
    this.timings.take(event);
    const { reply, position } = event;
    switch (event.event) {
      case "user_state": this.user = event.new; break;
      case "agent_state": this.agent = event.new; break;
      case "turn_started": transcript.hearing(""); break;
      case "transcript": if (event.text) transcript.hearing(event.text); break;
      case "turn_ended":
        if (event.text) transcript.userSaid(event.text);
        else transcript.heardNothing();
        break;
      case "reply_word": transcript.word(reply, event.text, position); break;
      case "paused": transcript.paused(reply); break;
      case "resumed": transcript.note(reply, "Went on after a noise."); break;
      case "reply_ended": transcript.ended(reply, event.text, event.heard, event.how); break;
      case "reply_retracted": transcript.retracted(reply); break;
      case "session_ending": this.ending = true; break;
    }
    this.showState();
  }

  showState() {
    if (this.over) return;
    if (this.ending) show("ending");
    else if (!this.ready) show("lost");
    else if (this.user === "speaking") show("hearing");
    else show(this.agent === "idle" ? "listening" : this.agent);
  }

  /** The button beside "Hang up": mute, or ask for the microphone that is not there. */
  showMute() {
    const muted = Boolean(this.muted);
    $("mute").hidden = false;
    $("mute").textContent = !this.microphone.stream ? "Use the microphone" : muted ? "Unmute" : "Mute";
    $("mute").setAttribute("aria-pressed", String(muted));
  }

  async toggleMute() {
    if (!this.ready) return;
    if (!this.microphone.stream) notice(await this.microphone.ask());
    else this.microphone.mute(this.muted = !this.muted);
    if (!this.over) this.showMute();
  }

  showLevels() {
    $("level-you").value = Math.sqrt(this.microphone.level);
    $("level-agent").value = Math.sqrt(this.player.report.playing ? this.player.report.peak : 0);
    const { waiting, underruns } = this.player.report;
    $("figures").textContent = `${Math.round(waiting / OUTPUT_HZ * 1000)} ms buffered, ${underruns} gaps`;
  }

  hangUp() {
    if (this.ready && !this.ending) this.wire.end();
    else this.close();
    this.ending = true;
    this.showState();
  }

  closed(code, reason, wasOpen) {
    if (this.over) return;
    const said = reason ? ` (${reason})` : "";
    if (!wasOpen) notice("The server did not take the call: it may be full, or want a token. Try again later.");
    else if (code === 1006) notice("The connection was lost. Start again to go on.");
    else if (code !== 1000 || !this.ending) notice(`The server ended the call${said}.`);
    this.close(wasOpen && (this.ending || code === 1000) ? "idle" : "trouble");
  }

  close(state = "idle") {
    if (this.over) return;
    this.over = true;
    clearInterval(this.meter);
    this.wire?.close();
    this.player?.close();
    this.microphone?.close();
    if (call === this) noCall(state);
  }
}

let call = null;

function noCall(state) {
  call = null;
  show(state);
  $("call").textContent = "Start talking";
  $("call").dataset.on = "false";
  $("meters").hidden = $("mute").hidden = true;
}

function begin(speaking) {
  call = new Call();
  $("call").textContent = "Hang up";
  $("call").dataset.on = "true";
  const opened = call;
  opened.open(speaking).catch((error) => {
    opened.close("trouble");
    notice(`Sound does not work in this browser: ${error.message}`);
  });
}

$("call").addEventListener("click", () => (call ? call.hangUp() : begin(true)));
$("mute").addEventListener("click", () => call?.toggleMute());
$("typing").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  if (!call) begin(false);
  call.type(text);
});
addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "m" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!(event.target instanceof HTMLInputElement)) call?.toggleMute();
});
addEventListener("pagehide", () => call?.close());
