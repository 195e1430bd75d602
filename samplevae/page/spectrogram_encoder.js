// samplevae.encoder.SpectrogramEncoder: log-magnitudes, ConvNeXt blocks, and the mean of the posterior.
import { ceilTo, clamp, fourier, roundEven } from "./arithmetic.js";

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

// samplevae.harmonics.pitch_spectrum and strongest_peak: the power after the attack, and its maximum above 30 Hz, in bins
function strongestPeak(wave, rate) {
  const from = Math.min(Math.round(0.03 * rate), wave.length >> 2), part = wave.subarray(from, Math.round(0.4 * rate)), n = part.length;
  const size = 2 ** Math.ceil(Math.log2(rate)), re = new Float64Array(size), bins = size / 2 + 1;
  for (let i = 0; i < n; i++) re[i] = part[i] * (0.5 - 0.5 * Math.cos(2 * Math.PI * i / n));
  const [a, b] = fourier(re, new Float64Array(size)), power = Float64Array.from({ length: bins }, (_, k) => a[k] ** 2 + b[k] ** 2);
  let best = Math.ceil(30 * size / rate);
  for (let k = best; k < bins - 1; k++) if (power[k] > power[best]) best = k;
  const [left, middle, right] = [-1, 0, 1].map((step) => Math.log(power[best + step] + 1e-20));
  const shift = (left - right) / 2 / Math.min(left - 2 * middle + right, -1e-6);
  return { power, hertz: rate / size, lobe: 2 * rate / n, peak: best + clamp(shift, -0.5, 0.5) };
}

// Where the pitch is, (octaves above 1 Hz - 8) / 2, and its confidence: samplevae.harmonics.measure_pitch. The strongest peak
// is divided by 1 to 8; a lower pitch has to hold clearly more of the energy on its multiples
export function measurePitch(wave, rate) {
  const { power, hertz, lobe, peak } = strongestPeak(wave, rate), pitch = peak * hertz, bins = power.length;
  const total = new Float64Array(bins + 1), last = Math.min(bins, Math.ceil(8000 / hertz)) - 1, wide = 0.75 * lobe / hertz;
  for (let k = 0; k < bins; k++) total[k + 1] = total[k] + power[k];
  const all = total[bins] + 1e-9, near = Math.max(0.06 * pitch, lobe);
  let best = 1, most = -1, comb = -1, semitone = 0;
  for (let divisor = 1; divisor <= 8; divisor++) {
    if (pitch / divisor < 30) continue;
    let share = 0, covered = 0;
    for (let n = 1; n <= 266; n++) {
      const tooth = peak / divisor * n, low = clamp(roundEven(tooth - wide), 0, last), high = clamp(roundEven(tooth + wide + 1), 0, last);
      share += total[high] - total[low]; covered += high - low;
    }
    const beyond = (share / all - covered / bins) / (1 - covered / bins), score = beyond - 0.02 * (divisor - 1) - (divisor > 1 ? 0.12 * Math.max(1, 0.185 * lobe) : 0);
    if (score > most) { most = score; best = divisor; comb = beyond; }
  }
  for (let k = 0; k < bins; k++) if (Math.abs(k * hertz - pitch) < near) semitone += power[k];
  const tonal = Math.max(semitone / all - 0.48 * pitch / rate, comb);
  return [(Math.log2(pitch / best) - 8) / 2, clamp((tonal - 0.05) / 0.25, 0, 1)];
}
