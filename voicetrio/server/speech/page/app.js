// The page: what the controls do.

import { Player } from "./player.js";
import { ApiError, listVoices, speak, speakFile } from "./speech.js";
import { Words } from "./words.js";

const $ = (id) => document.getElementById(id);
const words = new Words($("words"));
let current = null;           // { player, abort } of what is spoken now

function request() {
  const [model, voice] = $("voice").value.split("\n");
  return {
    input: $("text").value, model, voice, speed: Number($("speed").value),
    allow_voice_tags: $("tags").checked, ssml: $("ssml").checked,
  };
}

function tell(text) { $("status").textContent = text; }

function complain(error) {
  if (error.name === "AbortError") return;
  let text = error.message;
  if (error instanceof TypeError) text = "the connection broke off before the speech was complete";   // so fetch tells it
  if (error instanceof ApiError && error.status === 401) {
    text = $("key").value ? "this API key is not accepted" : "an API key is needed: type it into the field above";
    $("key-row").hidden = false;
    $("key").focus();
  }
  $("notice").textContent = `${text[0].toUpperCase()}${text.slice(1)}.`;
  $("notice").hidden = false;
  $("notice").scrollIntoView({ block: "nearest" });
}

function setBusy(isBusy) {
  $("stop").disabled = !isBusy;
  $("speak").textContent = isBusy ? "Speak again" : "Speak";
}

async function stop(how = "Stopped.") {
  const was = current;
  current = null;
  if (!was) return;
  was.abort.abort();
  await was.player.close();
  words.end();
  setBusy(false);
  tell(how);
}

async function start() {
  await stop();
  $("notice").hidden = true;
  const abort = new AbortController();
  const player = new Player(() => finish(mine));
  const mine = { player, abort };
  current = mine;
  setBusy(true);
  $("progress").value = 0;
  words.show($("text").value);
  tell("Making the first words…");
  const asked = performance.now();
  let first = 0;
  try {
    await player.open();
    follow(mine);
    await speak(request(), {
      key: $("key").value, signal: abort.signal,
      onPiece(samples, timed, rate) {
        if (samples.length && !first) first = performance.now() - asked;
        player.push(samples, rate);
        words.add(timed);
        tell(`First sound after ${(first / 1000).toFixed(2)} s; ${player.length.toFixed(1)} s made.`);
      },
    });
    tell(`First sound after ${(first / 1000).toFixed(2)} s; ${player.length.toFixed(1)} s in all.`);
    player.complete();
  } catch (error) {
    if (current === mine) await stop(player.length ? "Broken off." : "Nothing was spoken.");
    complain(error);
  }
}

function finish(mine) {
  if (current !== mine) return;
  current = null;
  $("progress").value = 1;
  words.mark(Infinity);
  words.end();
  setBusy(false);
  mine.player.close();
}

/** Move the mark and the bar while it plays. */
function follow(mine) {
  if (current !== mine) return;
  const { player } = mine;
  if (player.length) {
    words.mark(player.position);
    $("progress").value = player.position / player.length;
  }
  requestAnimationFrame(() => follow(mine));
}

async function download() {
  $("notice").hidden = true;
  $("download").disabled = true;
  const format = $("format").value;
  tell("Making the file…");
  try {
    const file = await speakFile({ ...request(), response_format: format }, { key: $("key").value });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = `speech.${{ mulaw: "ulaw", alaw: "alaw" }[format] ?? format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    tell(`Saved ${link.download}, ${(file.size / 1024).toFixed(0)} KB.`);
  } catch (error) {
    tell("No file was made.");
    complain(error);
  } finally {
    $("download").disabled = false;
  }
}

async function fillVoices() {
  try {
    const groups = Map.groupBy ? Map.groupBy(await listVoices($("key").value), (each) => each.model)
      : new Map([["", await listVoices($("key").value)]]);
    $("voice").replaceChildren(...[...groups].map(([model, voices]) => {
      const group = document.createElement("optgroup");
      group.label = model;
      group.append(...voices.map(({ id, model: of, language, description }) => {
        const about = [description, language].filter(Boolean).join(", ");
        return new Option(about ? `${id} (${about})` : id, `${of}\n${id}`);
      }));
      return group;
    }));
  } catch (error) {
    complain(error);
  }
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); start(); });
$("stop").addEventListener("click", () => stop());
$("download").addEventListener("click", () => { if ($("form").reportValidity()) download(); });
$("key").addEventListener("change", fillVoices);
$("speed").addEventListener("input", () => { $("speed-shown").textContent = `${Number($("speed").value).toFixed(1)}×`; });
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("form").requestSubmit(); }
  if (event.key === "Escape") stop();
});
fillVoices();
