// Base64 -> bytes
export function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
}

// A pack, as samplevae.instrument writes it, gzipped or not, to settings and tensors:
// [length of the header, 4 bytes][header, JSON][tensors]; header.tensors[name] = { shape, type: f32 | f16 | u8, at }.

function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}
let halves; // all 65,536 of them

export async function gunzip(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export async function readPack(bytes) {
  bytes = await gunzip(bytes);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))), tensors = {};
  halves ??= Float32Array.from({ length: 65536 }, (_, bits) => halfToNumber(bits));
  for (const [name, { shape, type, at }] of Object.entries(header.tensors)) {
    const count = shape.reduce((a, b) => a * b, 1), size = { f32: 4, f16: 2, u8: 1 }[type];
    const part = bytes.slice(4 + length + at, 4 + length + at + size * count).buffer;
    if (type === "f32") tensors[name] = new Float32Array(part);
    else if (type === "u8") tensors[name] = new Uint8Array(part);
    else {
      const bits = new Uint16Array(part), values = tensors[name] = new Float32Array(count);
      for (let i = 0; i < count; i++) values[i] = halves[bits[i]];
    }
  }
  return { ...header, tensors };
}
