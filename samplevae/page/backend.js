// Where sounds come from: one small interface, three ways behind it.
//
//   { name, latent, rate, length, pitched, decode(z, { pitch, confidence, fresh }), encode(wave), sample(n, options), vary(point, amount) }
//
// A point is { z, pitch, confidence }: the latent numbers, and beside them the pitch, in octaves above 1 Hz, and how sure it is,
// from 0 to 1. `join` makes one vector of it, as model.js reads it, and `split` a point of a vector. `local` decodes in workers
// of this page; `kernel` asks a notebook's kernel, `http` a server on this machine: these two decode there and describe here.
import { clamp, normals } from "./arithmetic.js";
import { connect } from "./connect.js";
import { readPack } from "./pack.js";

export function makeBackend(name, ask, helper, { about, data, kind, times }) {
  const { config } = about, { pitch_dims: pitchDims, numbers: N } = config, pitched = pitchDims > 0;
  const join = ({ z, pitch, confidence }) => pitched ? Float32Array.of((pitch - 8) / 2, confidence, ...z) : Float32Array.from(z);
  const split = (vector) => pitched ? { z: vector.slice(pitchDims), pitch: 8 + 2 * vector[0], confidence: vector[1] } : { z: Float32Array.from(vector), pitch: null, confidence: null };
  // A vector with the pitch and the confidence of another; and one whose confidence is from 0 to 1
  const withPitch = (vector, other) => vector.map((x, k) => k < pitchDims ? other[k] : x);
  const inRange = (vector) => vector.map((x, k) => pitched && k === 1 ? clamp(x, 0, 1) : x);

  const toBase = async (vector) => config.prior ? (await ask("toBase", { z: vector })).base : vector.map((x, k) => (x - about.mean[k]) / about.std[k]);
  // given: a vector whose pitch is held; the latent numbers are then those that the base numbers mean at that pitch
  async function toVectors(bases, given = null) {
    if (given && pitched) { const held = await toBase(given); bases = bases.map((base) => withPitch(base, held)); }
    const vectors = config.prior ? (await ask("toVector", { bases })).vectors : bases.map((base) => inRange(Float32Array.from(base, (x, k) => x * about.std[k] + about.mean[k])));
    return given ? vectors.map((vector) => withPitch(vector, given)) : vectors;
  }

  // A step in the base space of the prior, where all directions are alike: every stop is likely, and 1 is a plain draw.
  // Where the page does not know the prior, a step in the spread of the training vectors, with the same confidence.
  async function vary(point, amount, { seed = 0, temperature = 1, count = 1, given = null } = {}) {
    const noise = Array.from({ length: count }, (_, i) => normals(N, seed + i)), vector = join(point);
    if (!config.prior) {
      const moved = noise.map((draw) => inRange(vector.map((x, k) => pitched && k === 1 ? x : x + amount * temperature * about.std[k] * draw[k])));
      return moved.map((vector) => split(given ? withPitch(vector, given) : vector));
    }
    const base = await toBase(vector), stay = Math.sqrt(1 - amount ** 2);
    return (await toVectors(noise.map((draw) => base.map((x, k) => stay * x + amount * temperature * draw[k])), given)).map(split);
  }

  return {
    name, kind, times, about, data, pitched, join, split, withPitch, inRange, vary, toBase,
    latent: config.latent, rate: config.sample_rate, length: Math.round(config.seconds * config.sample_rate), encodes: about.encodes,
    // newest: of decodings that wait, only the newest is done; early: called with the sound before it is described
    decode: (z, { pitch, confidence = 1, fresh = 0, newest = false, early } = {}) => ask("decode", { z: join({ z, pitch, confidence }), seed: fresh, newest }, early),
    encode: async (wave) => split((await ask("encode", { wave })).z),
    sample: (n, options = {}) => vary({ z: new Float32Array(config.latent), pitch: 8, confidence: 1 }, 1, { ...options, count: n }),
    waves: async (vectors, fresh = 0) => (await ask("waves", { vectors, seed: fresh })).waves,
    toVector: async (base, given = null) => (await toVectors([base], given))[0],
    jacobian: async (vector, steps, fresh = 0) => (await helper("jacobian", { z: vector, steps, seed: fresh })).jacobian,
    nearest: async (vectors, wanted, std, fresh = 0) => (await ask("nearest", { vectors, wanted, std, seed: fresh })).z,
  };
}

// Two workers with the same weights: the second measures Jacobians, and begins when it is first asked
// encoder(): promises the bytes of the encoder's pack, when it is first needed
export async function local(bytes, script, encoder) {
  const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" })), ask = connect(new Worker(url));
  const opened = await ask("open", { bytes });
  let second = null;
  const open = async () => { const other = connect(new Worker(url)); await other("open", { bytes }); return other; };
  const helper = async (what, given) => (await (second ??= open()))(what, given);
  let listening = null;
  const backend = makeBackend("local", ask, helper, opened), { encode } = backend;
  backend.encode = async (wave) => { await (listening ??= encoder().then((pack) => ask("openEncoder", { bytes: pack }))); return encode(wave); };
  return backend;
}

// `request(what, given)` promises what PlayedModel answers, in a kernel or a server; the worker here only describes, and the
// pack has no weights. One request is in flight; of decodings that wait, the last one wins.
export async function remote(name, pack, request, script) {
  const describe = connect(new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" }))));
  const { tensors, ...about } = await readPack(pack), rate = about.config.sample_rate, data = {};
  for (const [key, tensor] of Object.entries(tensors)) data[key.slice(5)] = tensor; // data.vectors, ...
  let busy = Promise.resolve(), newest = 0;
  const ask = (what, { newest: onlyNewest = false, ...given }, early) => {
    const mine = onlyNewest ? ++newest : 0;
    const answer = busy.then(async () => {
      if (mine && mine !== newest) return { dropped: true };
      const began = performance.now(), got = await request(what, given);
      if (what !== "decode") return got;
      early?.({ wave: got.wave });
      return { ...await describe("describe", { ...got, rate }), took: performance.now() - began };
    });
    busy = answer.catch(() => {});
    return answer;
  };
  return makeBackend(name, ask, ask, { about: { ...about, encodes: true }, data, kind: name, times: {} });
}

// A server on this machine: JSON out, JSON and float32 back, a key in a header
export async function http(key, script) {
  const send = async (path, body) => {
    const response = await fetch(path, { method: "POST", headers: { "X-Key": key, "Content-Type": "application/json" }, body });
    if (!response.ok) throw new Error((await response.text()) || `the server says ${response.status}`);
    return response.arrayBuffer();
  };
  const request = async (what, given) => readAnswer(await send("/ask", JSON.stringify({ what, given }, (_, value) => ArrayBuffer.isView(value) ? [...value] : value)));
  return remote("http", new Uint8Array(await send("/pack", "")), request, script);
}

// [length of the JSON, 4 bytes][JSON][float32 ...]: arrays stand in the JSON as { floats: [from, to] }
export function readAnswer(buffer) {
  const length = new DataView(buffer).getUint32(0, true), text = new TextDecoder().decode(new Uint8Array(buffer, 4, length));
  const floats = new Float32Array(buffer.slice(4 + length));
  return JSON.parse(text, (_, value) => value?.floats ? floats.slice(...value.floats) : value);
}
