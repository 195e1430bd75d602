// samplevae.decoder.IstftHead: ConvNeXt blocks, a spectrum for each frame, filtered noise, an inverse Fourier transform.
import { ceilTo, randn } from "./arithmetic.js";
import { PartialLines } from "./partial_lines.js";

export class IstftHead {
  // Reserves what it needs in the workspace; `prepare` fills it when the memory is there.
  constructor(space, config) {
    const { tensors, width, frames } = space, hop = config.hop_length, bins = 2 * hop + 1;
    Object.assign(this, { space, config, hop, bins, frames, stages: [], noises: new Map() });
    this.gains = tensors["decoder.head.levels.linear.bias"].length; this.bands = config.noise_bands || 2;
    let number = 0;
    config.depth.forEach((depth, n) => {
      if (n) { this.stages.push("upsample"); number++; }
      for (let i = 0; i < depth; i++) { const name = `decoder.head.stages.${number++}`; this.stages.push(name); space.matrixOfBlock(name); }
    });
    space.matrix("decoder.head.waves", 2 * bins, width);
    space.matrix("decoder.head.levels.linear", this.gains, width);
    if (config.noise_bands) space.matrix("decoder.head.noise.levels.linear", config.noise_bands, width);
    this.lines = tensors["decoder.head.lines.envelope.bias"] ? new PartialLines(space, config) : null;
    this.spectra = space.take(ceilTo(2 * bins, 4) * frames); this.fixed = space.take(2 * bins * frames);
    this.levels = space.take(ceilTo(this.gains, 4) * frames); this.noiseLevels = space.take(ceilTo(this.bands, 4) * frames);
    this.levelTable = space.take(2 * bins); this.noiseTable = space.take(2 * bins);
    this.buffer = space.take(16 * hop * 4); this.turns = space.take(8 * hop); this.places = space.take(2 * hop);
  }

  prepare() {
    const { space: { F, I }, hop, bins, frames } = this, size = 4 * hop, half = 2 * hop, bits = Math.log2(half);
    for (let k = 0; k < size; k++) {
      F[(this.turns >> 2) + 2 * k] = Math.cos(2 * Math.PI * k / size); F[(this.turns >> 2) + 2 * k + 1] = Math.sin(2 * Math.PI * k / size);
    }
    for (let k = 0; k < half; k++) { // the order of the butterflies: the bits of k, reversed
      let reversed = 0;
      for (let b = 0; b < bits; b++) reversed |= ((k >> b) & 1) << (bits - 1 - b);
      I[(this.places >> 2) + k] = 32 * reversed;
    }
    for (const [table, bands] of [[this.levelTable, this.gains], [this.noiseTable, this.bands]]) for (let b = 0; b < bins; b++) {
      const mel = Math.fround(Math.log1p(30 * b / (bins - 1)) / Math.log1p(30) * (bands - 1)), low = Math.min(Math.floor(mel), bands - 2);
      I[(table >> 2) + 2 * b] = 4 * low * frames; F[(table >> 2) + 2 * b + 1] = mel - low;
    }
    const window = Float64Array.from({ length: size }, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / size)), weight = new Float64Array((frames + 3) * hop);
    for (let i = 0; i < frames; i++) for (let n = 0; n < size; n++) weight[i * hop + n] += window[n] ** 2;
    this.gain = Float32Array.from(weight, (x) => x > 0 ? 1 / x / size : 0); // 1 / size of the inverse transform
    this.window = Float32Array.from(window);
    this.sum = new Float32Array((frames + 3) * hop);
    this.setNoise(0);
  }

  // The noise of a seed, laid out [bin, real or imaginary][frame]; 0 is the one the model was trained with.
  setNoise(seed) {
    if (!this.config.noise_bands || this.seed === seed) return;
    if (!this.noises.has(seed)) {
      const rows = 2 * this.bins, frames = this.frames, drawn = randn(rows * frames, seed), laid = new Float32Array(rows * frames);
      for (let f = 0; f < frames; f++) for (let b = 0; b < rows; b++) laid[b * frames + f] = drawn[f * rows + b];
      if (this.noises.size > 4) this.noises.clear();
      this.noises.set(seed, laid);
    }
    this.space.F.set(this.noises.get(seed), this.fixed >> 2);
    this.seed = seed;
  }

  // From what is in space.a, (width, frames), and what is known of the partials, a sound of so many samples
  wave(frames, length, partials) {
    const { space, hop, bins, config } = this, { F, width } = space, x = space.view(space.a, width * this.frames);
    for (const stage of this.stages) if (stage === "upsample") frames = space.upsample(frames); else space.convNeXtBlock(stage, frames);
    space.layerNorm(x, x, "decoder.head.norm", frames, this.frames);
    space.matmul("decoder.head.waves", space.a, this.spectra, frames);
    this.bandLevels("decoder.head.levels.linear", this.levels, this.gains);
    if (config.noise_bands) this.bandLevels("decoder.head.noise.levels.linear", this.noiseLevels, config.noise_bands);
    space.kernels.spectrum(this.spectra, this.fixed, this.levels, this.levelTable, this.noiseLevels, this.noiseTable, bins, frames);
    if (this.lines) this.lines.add(this.spectra, partials);
    for (const bin of [0, bins - 1]) space.view(this.spectra + 4 * (2 * bin + 1) * frames, frames).fill(0); // these are real
    return this.inverseTransform(frames, length);
  }

  bandLevels(name, to, bands) {
    this.space.matmul(name, this.space.a, to, this.frames);
    const levels = this.space.view(to, bands * this.frames);
    for (let i = 0; i < levels.length; i++) if (levels[i] > 6) levels[i] = 6;
  }

  // samplevae.spectral.ShortTimeFourier.istft with absolute phase: a frame that begins f hops late is turned by f quarters
  inverseTransform(frames, length) {
    const { space, hop, window, gain } = this, sum = this.sum.fill(0), { F } = space, buffer = this.buffer >> 2;
    for (let g = 0; g < frames; g += 4) { // four frames at a time, which begin at each of the four quarters once
      space.kernels.inverse(this.spectra + 4 * g, 4 * frames, this.buffer, this.turns, this.places, 2 * hop);
      for (let lane = 0; lane < 4; lane++) for (let late = 0; late < 4; late++) {
        const from = buffer + ((lane + late) & 3) * hop * 4 + lane, to = (g + lane + late) * hop, at = late * hop;
        for (let i = 0; i < hop; i++) sum[to + i] += F[from + 4 * i] * window[at + i];
      }
    }
    const side = 3 * hop / 2, wave = new Float32Array(length);
    for (let i = 0; i < length; i++) wave[i] = sum[side + i] * gain[side + i];
    return wave;
  }
}
