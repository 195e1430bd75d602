// What a sound is like, in eleven numbers with units: samplevae.latents.describe_sounds, number for number.

export const DESCRIPTORS = ["pitch", "bend", "noise", "body", "brightness", "air", "damping", "click", "punch", "decay", "loudness"];
const SIZE = 1024, HALF = 512;
const HANN = Float64Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / SIZE));
const LOG2 = Float64Array.from({ length: HALF + 1 }, (_, k) => Math.log2(Math.max(k, 1)));
const decibels = (power, least = 1e-6) => 10 * Math.log10(power + least);

// A Fourier transform of 1024 complex numbers, in place
const transform = (() => {
  const places = new Uint16Array(SIZE), cos = new Float64Array(HALF), sin = new Float64Array(HALF);
  for (let i = 0; i < SIZE; i++) for (let b = 0; b < 10; b++) places[i] |= ((i >> b) & 1) << (9 - b);
  for (let i = 0; i < HALF; i++) { cos[i] = Math.cos(2 * Math.PI * i / SIZE); sin[i] = -Math.sin(2 * Math.PI * i / SIZE); }
  return (re, im) => {
    for (let i = 0; i < SIZE; i++) if (places[i] > i) {
      const j = places[i];
      let x = re[i]; re[i] = re[j]; re[j] = x;
      x = im[i]; im[i] = im[j]; im[j] = x;
    }
    for (let size = 1; size < SIZE; size *= 2) for (let j = 0, step = HALF / size; j < size; j++) {
      const c = cos[j * step], s = sin[j * step];
      for (let p = j; p < SIZE; p += 2 * size) {
        const q = p + size, x = re[q] * c - im[q] * s, y = re[q] * s + im[q] * c;
        re[q] = re[p] - x; im[q] = im[p] - y; re[p] += x; im[p] += y;
      }
    }
  };
})();

// Power of 513 bins in frames `hop` apart, (frames, 513): for the descriptors, and for the picture
export function spectrogram(wave, hop = 256) {
  const frames = Math.ceil(wave.length / hop), power = new Float32Array(frames * (HALF + 1)), re = new Float64Array(SIZE), im = new Float64Array(SIZE);
  for (let f = 0; f < frames; f += 2) { // two real frames in one complex transform
    for (let i = 0; i < SIZE; i++) {
      const a = f * hop + i - HALF, b = a + hop;
      re[i] = a >= 0 && a < wave.length ? wave[a] * HANN[i] : 0; im[i] = b >= 0 && b < wave.length ? wave[b] * HANN[i] : 0;
    }
    transform(re, im);
    for (let k = 0; k <= HALF; k++) {
      const l = (SIZE - k) % SIZE;
      power[f * (HALF + 1) + k] = ((re[k] + re[l]) ** 2 + (im[k] - im[l]) ** 2) / 4;
      if (f + 1 < frames) power[(f + 1) * (HALF + 1) + k] = ((im[k] + im[l]) ** 2 + (re[l] - re[k]) ** 2) / 4;
    }
  }
  return { power, frames, hop };
}

function spectralDescriptors(wave, rate) {
  const { power, frames } = spectrogram(wave), mean = new Float64Array(HALF + 1), begin = new Float64Array(HALF + 1), later = new Float64Array(HALF + 1);
  for (let f = 0; f < frames; f++) for (let k = 1, at = f * (HALF + 1) + 1; k <= HALF; k++, at++) {
    mean[k] += power[at];
    if (f < 9) begin[k] += power[at]; else if (f > 9 && f < 25) later[k] += power[at];
  }
  let body = 0, air = 0, total = 1e-9;
  for (let k = 1; k <= HALF; k++) {
    const hertz = k * rate / SIZE;
    total += mean[k];
    if (hertz < 200) body += mean[k];
    if (hertz > 8000) air += mean[k];
  }
  const centre = (spectrum) => {
    let weight = 1e-6, sum = 0;
    for (let k = 1; k <= HALF; k++) { const amplitude = Math.sqrt(spectrum[k]); weight += amplitude; sum += amplitude * LOG2[k]; }
    return sum / weight + Math.log2(rate / SIZE);
  };
  return { body: decibels(body / total), brightness: centre(mean), air: decibels(air / total), damping: centre(begin) - centre(later) };
}

// How long until a hundredth of the energy is left to come, in octaves of 1 ms
function decayOctaves(level, energy) {
  let last = level.length - 1, left = 0;
  for (; last > 0; last--) { left += level[last]; if (left > 0.01 * energy) break; }
  if (last === 0) left += level[0];
  const part = Math.min(1, Math.max(0, (left - 0.01 * energy) / (level[last] + 1e-12)));
  return Math.log2(last + part + 0.5);
}

// A sound, the harmonics in it (or null), the octaves of their pitch (or null), and the octaves where it rests
export function describe(wave, rate, tone, octaves, pitch) {
  const length = wave.length, step = Math.round(rate / 1000), level = new Float64Array(Math.floor(length / step));
  const soon = Math.ceil(0.02 * rate), edge = Math.round(0.01 * rate);
  let energy = 1e-9, peak = 0, early = 0, toned = 0, rest = 0, click = 0;
  for (let i = 0, last = 0, before = 0; i < length; i++) {
    const x = wave[i], square = x * x, bend = x - last - before;
    energy += square;
    if (square > peak) peak = square;
    if (i < soon) early += square;
    if (i < edge) click += bend * bend;
    if (i < level.length * step) level[(i / step) | 0] += square;
    if (tone) { toned += tone[i] * tone[i]; rest += (x - tone[i]) ** 2; } else rest += square;
    before = x - last; last = x;
  }
  return {
    pitch, bend: octaves ? octaves[0] - octaves[octaves.length - 1] : 0, noise: decibels((rest + 1e-5 * energy) / (toned + 1e-5 * energy), 0),
    ...spectralDescriptors(wave, rate),
    click: decibels(click / energy, 1e-7), punch: decibels(early / energy, 1e-3), decay: decayOctaves(level, energy),
    loudness: decibels(energy / length / Math.max(1, peak)), peak: Math.sqrt(peak),
  };
}
