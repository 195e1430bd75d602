// samplevae.harmonics.PartialLines: partials above the oscillator's, written as lines into the spectra of frames.
import { ceilTo } from "./arithmetic.js";

const TURNS = [[1, 0], [0, 1], [-1, 0], [0, -1]]; // powers of i
const SOFT = 1e-6; // what is softer is not written

export class PartialLines {
  // Reserves what it needs in the workspace
  constructor(space, { hop_length: hop, harmonics, sample_rate: rate }) {
    Object.assign(this, { space, hop, rate, first: harmonics + 1, frames: space.frames });
    this.bands = space.tensors["decoder.head.lines.envelope.bias"].length;
    space.matrix("decoder.head.lines.envelope", this.bands, space.width);
    this.envelope = space.take(ceilTo(this.bands, 4) * space.frames);
  }

  // The spectra are laid out [bin, real or imaginary][frame]
  add(spectra, { octaves, gains }) {
    const { space, hop, rate, bands, frames, first } = this, { F } = space, to = spectra >> 2;
    space.matmul("decoder.head.lines.envelope", space.a, this.envelope, frames);
    const envelope = space.view(this.envelope, bands * frames), pitch = Array.from(octaves, (x) => 2 ** Math.min(x, 20));
    for (let f = 0, cycles = 0; f < frames; f++) {
      cycles += (pitch[f] + pitch[Math.max(0, f - 1)]) / 2 * hop / rate;
      cycles -= Math.floor(cycles);
      for (let k = 0; k < gains.length; k++) {
        const number = first + k, hertz = Math.fround(pitch[f] * number);
        if (hertz >= 0.45 * rate) break;
        if (hertz * 4 * hop < 3 * rate) continue; // eight bins around it
        const mel = Math.min(Math.log1p(30 * hertz / (rate / 2)) / Math.log(31) * (bands - 1), bands - 1.001), low = Math.floor(mel);
        const below = envelope[low * frames + f], above = envelope[(low + 1) * frames + f];
        const level = Math.exp(Math.min(1, below + (mel - low) * (above - below) + gains[k])) * hop;
        if (level < SOFT * hop) continue;
        const place = hertz * 4 * hop / rate, whole = Math.floor(place), part = Math.min(Math.max(place - whole, 1e-3), 0.999);
        const angle = 2 * Math.PI * ((cycles * number) % 1), sine = Math.sin(angle) * level, cosine = -Math.cos(angle) * level;
        let lobe = Math.sin(Math.PI * part) / Math.PI; // sin(pi (j - part)) changes its sign with each j
        for (let j = -3; j < 5; j++) {
          const offset = j - part, bin = whole + j, [c, s] = TURNS[((2 - (f & 3)) * bin & 3)];
          const weight = lobe / (offset * (1 - offset * offset)), real = sine * weight, imaginary = cosine * weight;
          F[to + 2 * bin * frames + f] += real * c - imaginary * s;
          F[to + (2 * bin + 1) * frames + f] += real * s + imaginary * c;
          lobe = -lobe;
        }
      }
    }
  }
}
