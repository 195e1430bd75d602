// Files that one can take away, and open again: WAV, ZIP, and a dropped sound made into a clip.
import { clamp } from "./arithmetic.js";

// 24 bits; a chunk `smpl` names the note (MIDI, with a fraction), so that a sampler plays it in tune
export function wavFile(wave, rate, note) {
  const bytes = 3 * wave.length, padded = bytes + (bytes & 1), view = new DataView(new ArrayBuffer(44 + padded + 44));
  const text = (at, letters) => [...letters].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, view.byteLength - 8, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 3 * rate, true); view.setUint16(32, 3, true); view.setUint16(34, 24, true);
  text(36, "data"); view.setUint32(40, bytes, true);
  for (let i = 0, at = 44; i < wave.length; i++, at += 3) {
    const value = clamp(Math.round(wave[i] * 8388607), -8388608, 8388607);
    view.setUint16(at, value & 0xffff, true); view.setInt8(at + 2, value >> 16);
  }
  const at = 44 + padded, root = Math.floor(note);
  text(at, "smpl"); view.setUint32(at + 4, 36, true); view.setUint32(at + 16, Math.round(1e9 / rate), true);
  view.setUint32(at + 20, clamp(root, 0, 127), true); view.setUint32(at + 24, Math.floor((note - root) * 2 ** 32) >>> 0, true);
  return new Uint8Array(view.buffer);
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => { for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1; return n; });
function crc32(bytes) {
  let c = -1;
  for (const b of bytes) c = CRC[(c ^ b) & 255] ^ (c >>> 8);
  return ~c >>> 0;
}

// [[name, bytes], ...] -> a Blob, nothing compressed
export function zipFile(files) {
  const parts = [], central = [], now = new Date();
  const day = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate(), time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  const head = (signature, name, bytes, offset) => {
    const inCentral = offset !== undefined, view = new DataView(new ArrayBuffer(inCentral ? 46 : 30)), o = inCentral ? 2 : 0;
    view.setUint32(0, signature, true);
    if (inCentral) { view.setUint16(4, 20, true); view.setUint32(42, offset, true); }
    view.setUint16(4 + o, 20, true); view.setUint16(6 + o, 0x800, true); view.setUint16(10 + o, time, true); view.setUint16(12 + o, day, true);
    view.setUint32(14 + o, crc32(bytes), true); view.setUint32(18 + o, bytes.length, true); view.setUint32(22 + o, bytes.length, true);
    view.setUint16(26 + o, name.length, true);
    return new Uint8Array(view.buffer);
  };
  let at = 0;
  for (const [title, bytes] of files) {
    const name = new TextEncoder().encode(title);
    central.push(head(0x02014b50, name, bytes, at), name);
    for (const part of [head(0x04034b50, name, bytes), name, bytes]) { parts.push(part); at += part.length; }
  }
  const size = central.reduce((sum, part) => sum + part.length, 0), end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true); end.setUint16(8, files.length, true); end.setUint16(10, files.length, true);
  end.setUint32(12, size, true); end.setUint32(16, at, true);
  return new Blob([...parts, ...central, end.buffer], { type: "application/zip" });
}

// Bytes of a ZIP and a name -> the bytes of that file, or null; deflated ones too, since others may have packed it again
export async function readFromZip(bytes, wanted) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
  if (end < 0) throw new Error("it is no zip");
  for (let n = view.getUint16(end + 10, true), at = view.getUint32(end + 16, true); n > 0; n--) {
    const method = view.getUint16(at + 10, true), size = view.getUint32(at + 20, true), local = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + view.getUint16(at + 28, true)));
    if (name.split("/").pop() === wanted) {
      const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true), part = bytes.slice(from, from + size);
      if (!method) return part;
      return new Uint8Array(await new Response(new Blob([part]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer());
    }
    at += 46 + view.getUint16(at + 28, true) + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return null;
}

const peakOf = (wave) => wave.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

// Channels of a sound -> one, as samplevae.audio has it: their mean, or the loudest where they cancel out
function mixDown(channels) {
  if (channels.length === 1) return channels[0];
  const mix = Float32Array.from(channels[0], (_, i) => channels.reduce((sum, c) => sum + c[i], 0) / channels.length);
  const loudest = channels.reduce((a, c) => peakOf(c) > peakOf(a) ? c : a);
  return peakOf(mix) > 0.1 * peakOf(loudest) ? mix : loudest;
}

// Where a sound begins: where it first rises above a hundredth of its peak, or above its own hiss
function findOnset(sound, rate) {
  const step = Math.max(1, Math.round(rate * 0.0005)), level = new Float32Array(Math.floor(sound.length / step));
  for (let b = 0; b < level.length; b++) for (let i = 0; i < step; i++) level[b] = Math.max(level[b], Math.abs(sound[b * step + i]));
  const top = level.indexOf(peakOf(level));
  let hiss = top > 40 ? Infinity : 0;
  for (let b = 0; b + 20 <= top && top > 40; b++) hiss = Math.min(hiss, level.subarray(b, b + 20).reduce((s, x) => s + x, 0) / 20);
  const threshold = Math.min(Math.max(0.01 * level[top], 4 * hiss), 0.05 * level[top]);
  return Math.max(0, level.findIndex((x) => x > threshold)) * step;
}

// A dropped sound becomes a clip as the data set has them: one channel, from 3 ms before the onset, cut, faded, levelled
export function clipFromChannels(channels, rate, length) {
  const sound = mixDown(channels);
  if (peakOf(sound) < 1e-4) throw new Error("it is silent");
  const begin = findOnset(sound, rate) - Math.round(0.003 * rate), clip = new Float32Array(length);
  let end = 0;
  for (let i = 0; i < length; i++) if (begin + i >= 0 && begin + i < sound.length) { clip[i] = sound[begin + i]; end = i + 1; }
  const fade = Math.min(Math.round(0.01 * rate), end >> 2), peak = peakOf(clip);
  for (let i = 0; i < fade; i++) clip[end - fade + i] *= 0.5 * (1 + Math.cos(Math.PI * i / Math.max(1, fade - 1)));
  if (peak < 1e-4) throw new Error("it is silent");
  return clip.map((x) => x * 0.99 / peak);
}
