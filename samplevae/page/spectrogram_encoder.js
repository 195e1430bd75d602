// samplevae.encoder.SpectrogramEncoder: log-magnitudes, ConvNeXt blocks, and the mean of the posterior.
import { ceilTo, clamp, fourier } from "./arithmetic.js";

export class SpectrogramEncoder {
  constructor(space, config) {
    const { width, frames } = space, bins = 2 * config.hop_length + 1;
    Object.assign(this, { space, config, hop: config.hop_length, bins, frames, stages: [] });
    space.matrix("encoder.frontend.first", width, 3 * bins);
    let number = 0;
    for (const depth of [...config.depth].reverse()) {
      for (let i = 0; i <= depth; i++) {
        const name = `encoder.frontend.stages.${number++}`, down = i === depth;
        this.stages.push({ name, down });
        if (down) space.matrix(name, width, 4 * width); else space.matrixOfBlock(name);
      }
    }
    this.stages.push({ name: `encoder.frontend.stages.${number}`, down: false });
    space.matrixOfBlock(`encoder.frontend.stages.${number}`);
    this.input = space.take(3 * bins * frames);
  }

  // wave (T,) -> (latent,), the mean of the posterior
  mean(wave) {
    const { space, config } = this, { tensors, width, F } = space;
    this.fillInput(wave);
    space.matmul("encoder.frontend.first", this.input, space.a, this.frames);
    let frames = this.frames;
    for (const { name, down } of this.stages) if (down) frames = space.downsample(name, frames); else space.convNeXtBlock(name, frames);
    const stride = ceilTo(frames, 8), weight = tensors["encoder.project.1.weight"], bias = tensors["encoder.project.1.bias"];
    return Float32Array.from({ length: config.latent }, (_, i) => {
      let sum = bias[i];
      for (let c = 0; c < width; c++) for (let j = 0; j < frames; j++) sum += weight[(i * width + c) * frames + j] * F[(space.a >> 2) + c * stride + j];
      return sum;
    });
  }

  // The log-spectrogram, three times, each a frame later: a convolution over three frames is then one matrix
  fillInput(wave) {
    const { space: { F }, hop, bins, frames } = this, size = 4 * hop, side = 3 * hop / 2, x = this.input >> 2;
    const window = Float64Array.from({ length: size }, (_, n) => Math.fround(0.5 - 0.5 * Math.cos(2 * Math.PI * n / size)) / hop);
    const frame = (f) => Float64Array.from(window, (w, n) => { const at = f * hop + n - side; return at >= 0 && at < wave.length ? wave[at] * w : 0; });
    const put = (k, f, power) => {
      const value = Math.log(power + 1e-9) / 5 + 2.2;
      for (let d = 0; d < 3; d++) { const j = f + 1 - d; if (j >= 0 && j < frames) F[x + (3 * k + d) * frames + j] = value; }
    };
    F.fill(0, x, x + 3 * bins * frames);
    for (let f = 0; f < frames; f += 2) { // two real frames in one complex transform
      const [a, b] = fourier(frame(f), frame(f + 1));
      for (let k = 0; k < bins; k++) {
        const l = (size - k) % size;
        put(k, f, ((a[k] + a[l]) / 2) ** 2 + ((b[k] - b[l]) / 2) ** 2);
        put(k, f + 1, ((b[k] + b[l]) / 2) ** 2 + ((a[l] - a[k]) / 2) ** 2);
      }
    }
  }
}

// samplevae.harmonics.dominant_pitch: the strongest peak of the spectrum after the attack, in Hz, to half a Hertz; and the
// share of the energy within a semitone of it, with the bounds in the 32 bits of torch
export function dominantPitch(wave, rate) {
  const from = Math.min(Math.round(0.03 * rate), wave.length >> 2), part = wave.subarray(from, Math.round(0.4 * rate)), n = part.length;
  const re = new Float64Array(2 * rate);
  for (let i = 0; i < n; i++) re[i] = part[i] * (0.5 - 0.5 * Math.cos(2 * Math.PI * i / n));
  const [a, b] = fourier(re, new Float64Array(2 * rate));
  const power = Float64Array.from({ length: rate + 1 }, (_, k) => a[k] ** 2 + b[k] ** 2);
  let best = 60, near = 0, all = 1e-9;
  for (let k = 60; k <= rate; k++) if (power[k] > power[best]) best = k;
  const width = Math.max(Math.fround(Math.fround(0.06) * best / 2), Math.fround(2 * rate / n));
  for (let k = 0; k <= rate; k++) { all += power[k]; if (Math.abs(k - best) / 2 < width) near += power[k]; }
  return [best / 2, near / all];
}

// Where the pitch is, (octaves above 1 Hz - 8) / 2, and its confidence: by how much more energy is near the peak than noise
// would have there
export function measurePitch(wave, rate) {
  const [hertz, share] = dominantPitch(wave, rate);
  return [(Math.log2(hertz) - 8) / 2, clamp((share - 0.48 * hertz / rate - 0.05) / 0.25, 0, 1)];
}
