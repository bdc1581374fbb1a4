// The server's API, as the page uses it.

export class ApiError extends Error {
  constructor(status, body) {
    super(body?.error?.message ?? `the server answered with status ${status}`);
    this.status = status;
  }
}

async function send(path, { key, body, signal }) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  if (!response.ok) throw new ApiError(response.status, await response.json().catch(() => null));
  return response;
}

/** The voices of every engine: `[{id, model, language, description}]`. */
export async function listVoices(key) {
  return (await (await send("v1/audio/voices", { key })).json()).voices;
}

/** Speak, and call `onPiece(samples, words)` with float samples and their words as they come. */
export async function speak(request, { key, signal, onPiece }) {
  const body = { ...request, response_format: "pcm", stream: true };
  const response = await send("dev/captioned_speech", { key, body, signal });
  const rate = Number(response.headers.get("X-Sample-Rate"));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();   // throws when the body breaks off
    if (done) break;
    const lines = (waiting + value).split("\n");
    waiting = lines.pop();
    for (const line of lines) {
      const piece = JSON.parse(line);
      if (piece.error) throw new ApiError(500, piece);
      onPiece(toFloats(piece.audio), piece.timestamps, rate);
    }
  }
}

/** Speak into a file; returns a Blob. */
export async function speakFile(request, { key, signal }) {
  return (await send("v1/audio/speech", { key, body: { ...request, stream: false }, signal })).blob();
}

function toFloats(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const samples = new Int16Array(bytes.buffer, 0, bytes.length >> 1);
  return Float32Array.from(samples, (sample) => sample / 32768);
}
