// samplevae.harmonics.HarmonicOscillator: harmonics of a given pitch, rounded where torch rounds.
import { gelu, linear, sigmoid } from "./arithmetic.js";

// Tables: every sample needs a power, a sine and a cosine; Taylor does the rest, to 1e-14
const POWERS = Float64Array.from({ length: 61 }, (_, i) => 2 ** (i - 40));
const ROOTS = Float64Array.from({ length: 1025 }, (_, i) => 2 ** (i / 1024));
const SINES = Float64Array.from({ length: 4096 + 1025 }, (_, i) => Math.sin(2 * Math.PI * i / 4096));
const fround = Math.fround;

export class HarmonicOscillator {
  constructor(tensors, { frames, hop, rate, length, harmonics }) {
    Object.assign(this, { tensors, frames, hop, rate, length, harmonics });
    const slow = [0.01, 0.03, 0.1, 0.3]; // s
    this.falls = Float64Array.from({ length: 4 * frames }, (_, i) => Math.exp(-((i % frames) * hop / rate) / slow[Math.floor(i / frames)]));
  }

  weight(name) { return this.tensors[`decoder.oscillator.${name}`]; }
  layer(name, x) { return linear(this.weight(`${name}.weight`), this.weight(`${name}.bias`), x); }

  norm(name, x) {
    const gain = this.weight(`${name}.weight`), bias = this.weight(`${name}.bias`);
    const mean = x.reduce((sum, v) => sum + v, 0) / x.length;
    const scale = 1 / Math.sqrt(x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length + 1e-5);
    return x.map((v, i) => (v - mean) * scale * gain[i] + bias[i]);
  }

  // The pitch in octaves above 1 Hz, and what the network reads (N,) -> octaves (frames,), levels of the harmonics (harmonics,
  // frames), and the gains of the partials above them
  partials(pitch, given) {
    const { frames, falls } = this;
    let h = this.norm("hidden.1", this.layer("hidden.0", given)).map(gelu);
    h = this.norm("hidden.4", this.layer("hidden.3", h)).map(gelu);
    const fall = this.layer("fall", h).map((x) => fround(0.01 * x));
    const octaves = Float64Array.from({ length: frames }, (_, f) => pitch + fall.reduce((sum, x, i) => sum + x * falls[i * frames + f], 0));
    const levels = Float32Array.from(this.layer("level", h), (x) => Math.max(0, sigmoid(x - 3) - 5e-4));
    const sure = Math.log(Math.max(given[1], 1e-4)); // where there is no pitch there are no lines
    return { octaves, levels, gains: this.weight("gain.weight") ? this.layer("gain", h).map((x) => x + sure) : [] };
  }

  // -> (length,)
  wave({ octaves, levels }) {
    octaves = Float32Array.from(octaves);
    const { frames, hop, rate, length, harmonics } = this, out = new Float32Array(length), heard = new Uint8Array(frames);
    levels = levels.map((level, i) => 2 ** octaves[i % frames] * (Math.floor(i / frames) + 1) < 0.45 * rate ? level : 0);
    levels.forEach((level, i) => { if (level > 0) heard[i % frames] = 1; });
    const last = heard.lastIndexOf(1);
    if (last < 0) return out;
    for (let i = 0, phase = 0, end = Math.min(length, (last + 2) * hop); i < end; i++) {
      const at = Math.max(0, (i + 0.5) / hop - 0.5), f = at | 0, g = f + 1 < frames ? f + 1 : f, part = at - f;
      // as many bits as torch has, and no more: a pitch that was rounded otherwise would be out of phase by the end
      const between = fround(fround(octaves[g] - octaves[f]) * fround(part));
      const octave = Math.max(-40, Math.min(20, fround(octaves[f] + between)));
      const whole = Math.floor(octave), fine = (octave - whole) * 1024, near = Math.round(fine), e = (fine - near) * (Math.LN2 / 1024);
      const cycles = fround(fround(POWERS[whole + 40] * ROOTS[near] * (1 + e * (1 + e * (0.5 + e / 6)))) / rate); // 2^octave
      phase += cycles;
      phase -= Math.floor(phase);
      if (!heard[f] && !heard[g]) continue;
      const place = Math.round(phase * 4096), d = (phase - place / 4096) * 2 * Math.PI, s = SINES[place], c = SINES[place + 1024];
      let now = s + d * (c - d * (s / 2 + d * c / 6)), before = 0, sum = 0;
      const twice = 2 * (c - d * (s + d * (c / 2 - d * s / 6)));
      for (let p = 1, k = 0; p <= harmonics; p++, k += frames) {
        sum += now * (levels[k + f] * (1 - part) + levels[k + g] * part);
        const next = twice * now - before; // sin((p + 1) x)
        before = now; now = next;
      }
      out[i] = sum;
    }
    return out;
  }
}
