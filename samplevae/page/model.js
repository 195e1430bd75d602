// A SampleVAE and its prior, without any library: in a page, a worker, a notebook or node.
//
//   const model = new Model(await readPack(bytes));
//   model.decode(vector)          -> Float32Array (T,), with the noise that is always the same
//   model.encode(wave)            -> Float32Array (N,), the measured pitch and the mean of the posterior
//   model.prior.toVector(base)    -> vector, from standard normal numbers; model.prior.toBase(vector) -> base
//
// A vector is [where, confidence, z_0, z_1, ...]: where the pitch is, (octaves above 1 Hz - 8) / 2; how sure it is, from 0
// (noise) to 1 (a tone); and the latent numbers. These stand alone where a model has no oscillator.
import { gelu, linear, roundEven } from "./arithmetic.js";
import { HarmonicOscillator } from "./oscillator.js";
import { IstftHead } from "./istft_head.js";
import { PRIORS } from "./prior.js";
import { measurePitch, SpectrogramEncoder } from "./spectrogram_encoder.js";
import { Workspace } from "./workspace.js";

// What the networks of the decoder read: a pitch that is not sure counts less
function joinPitch(row, pitchDims) {
  const given = Float32Array.from(row);
  if (pitchDims) given[0] *= given[1];
  return given;
}

export class Model {
  constructor(pack, { kernels = "auto" } = {}) {
    const { config, tensors } = pack, hop = config.hop_length;
    if (config.head !== "istft" || config.latent_shape !== "vector") throw new Error("the page decodes the head istft from vectors alone");
    if (hop & (hop - 1)) throw new Error("the hop must be a power of two");
    this.config = config; this.rate = config.sample_rate; this.tensors = tensors;
    this.length = Math.round(config.seconds * config.sample_rate);
    this.columns = Math.ceil(this.length / (8 * hop));
    this.space = new Workspace(tensors, config.width, 8 * this.columns);
    this.head = new IstftHead(this.space, config);
    this.space.open(kernels);
    this.head.prepare();
    const sizes = { frames: 8 * this.columns, hop, rate: this.rate, length: this.length, harmonics: config.harmonics };
    this.oscillator = config.pitch_dims ? new HarmonicOscillator(tensors, sizes) : null;
    this.prior = config.prior in PRIORS ? new PRIORS[config.prior](tensors, config) : null;
  }

  // parts: also what the oscillator gives alone, and its pitch, (frames,) in octaves above 1 Hz
  decode(z, { seed = 0, parts = false } = {}) {
    const { space, columns, config } = this, frames = 2 * columns, stride = Math.ceil(frames / 8) * 8, { F, width } = space;
    this.head.setNoise(seed);
    const given = joinPitch(z, config.pitch_dims), x = linear(this.tensors["decoder.project.0.weight"], this.tensors["decoder.project.0.bias"], given);
    for (let c = 0; c < width; c++) for (let j = 0; j < frames; j++) { // two frames in each column
      F[(space.a >> 2) + c * stride + j] = x[(2 * c + (j & 1)) * columns + (j >> 1)];
    }
    const partials = this.oscillator?.partials(8 + 2 * z[0], given), wave = this.head.wave(frames, this.length, partials);
    const tone = partials ? this.oscillator.wave(partials) : null, heard = config.gate ? this.framesHeard(x) : 8 * columns;
    if (tone) for (let i = 0; i < wave.length; i++) wave[i] += tone[i];
    for (const part of tone ? [wave, tone] : [wave]) { this.begin(part); this.close(part, heard); }
    return parts ? { wave, tone, octaves: partials?.octaves ?? null } : wave;
  }

  // samplevae.decoder.Gate: from what is laid out as columns, the number of frames before the most likely end
  framesHeard(x) {
    const { columns, tensors } = this, weight = tensors["decoder.gate.layer.weight"], bias = tensors["decoder.gate.layer.bias"];
    const width = x.length / columns, column = new Float32Array(width);
    let gain = 0, most = 0, end = 0;
    for (let j = 0; j < columns; j++) {
      for (let c = 0; c < width; c++) column[c] = gelu(x[c * columns + j]);
      linear(weight, bias, column).forEach((logit, k) => { gain += logit - 0.5; if (gain > most) { most = gain; end = 8 * j + k + 1; } });
    }
    return end;
  }

  // samplevae.decoder.rise_envelope: nothing, and from 0 to 1 in the last half millisecond before the onset
  begin(wave) {
    const onset = roundEven(0.003 * this.rate), size = Math.max(1, roundEven(0.0005 * this.rate));
    for (let i = 0; i < Math.min(onset, wave.length); i++) wave[i] *= i < onset - size ? 0 : 0.5 - 0.5 * Math.cos(Math.PI * (i - onset + size) / size);
  }

  // After so many frames a sound is silent; from the middle of the last to that of the next it fades
  close(wave, heard) {
    const hop = this.config.hop_length, end = (heard + 0.5) * hop;
    if (heard === 8 * this.columns) return;
    for (let i = Math.max(0, end - hop); i < wave.length; i++) wave[i] *= heard ? Math.max(0, (end - i - 0.5) / hop) : 0;
  }

  // The encoder comes in a pack of its own, since few need it, and not at once
  addEncoder({ tensors }) {
    const space = new Workspace(tensors, this.config.width, 8 * this.columns);
    this.encoder = new SpectrogramEncoder(space, this.config);
    space.open(this.space.kind);
  }

  encode(wave) {
    if (!this.encoder) throw new Error("the encoder is not there");
    const mean = this.encoder.mean(wave);
    return this.config.pitch_dims ? Float32Array.of(...measurePitch(wave, this.rate), ...mean) : mean;
  }
}
