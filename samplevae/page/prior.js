// The priors of samplevae.prior: `toVector` from standard normal numbers to a vector, `toBase` back. Where a model has a pitch,
// a prior is p(c) p(z | c): c the first two numbers of a vector, the pitch and its confidence, z the latent ones.
import { clamp, normalBelow, normalQuantile } from "./arithmetic.js";

const LEAST = 1e-9; // probabilities are kept so far from 0 and 1

// p(c): a mixture of normal distributions with diagonal covariances, read one number after the other
class PitchPrior {
  constructor(tensors) {
    const [mean, std] = ["mean", "factor"].map((name) => tensors[`prior.pitch.${name}`]), column = (x, c) => Float64Array.from({ length: x.length / 2 }, (_, k) => x[2 * k + c]);
    Object.assign(this, { weight: Float64Array.from(tensors["prior.pitch.weight"]), mean: [0, 1].map((c) => column(mean, c)), std: [0, 1].map((c) => column(std, c)) });
  }

  // The weights of the components, given the first number
  weightsGiven(where) {
    const logs = this.weight.map((w, k) => Math.log(w) - ((where - this.mean[0][k]) / this.std[0][k]) ** 2 / 2 - Math.log(this.std[0][k]));
    const most = Math.max(...logs), parts = logs.map((x) => Math.exp(x - most)), sum = parts.reduce((a, b) => a + b);
    return parts.map((x) => x / sum);
  }

  // How likely number c is below x, by such weights
  below(c, weights, x) { return weights.reduce((sum, w, k) => sum + w * normalBelow((x - this.mean[c][k]) / this.std[c][k]), 0); }

  toNormal(c, weights, x) { return normalQuantile(clamp(this.below(c, weights, x), LEAST, 1 - LEAST)); }

  // Back, by halving
  fromNormal(c, weights, normal) {
    const wanted = normalBelow(normal);
    let low = Math.min(...this.mean[c].map((m, k) => m - 10 * this.std[c][k])), high = Math.max(...this.mean[c].map((m, k) => m + 10 * this.std[c][k]));
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (this.below(c, weights, middle) < wanted) low = middle; else high = middle;
    }
    return (low + high) / 2;
  }

  toVector([first, second]) {
    const where = this.fromNormal(0, this.weight, first);
    return [where, clamp(this.fromNormal(1, this.weightsGiven(where), second), 0, 1)];
  }
  toBase([where, confidence]) { return [this.toNormal(0, this.weight, where), this.toNormal(1, this.weightsGiven(where), confidence)]; }
}

// Both parts: a prior below says how z comes from base numbers, given c, and how it goes back
class JointPrior {
  constructor(tensors, { pitch_dims }) { this.dims = pitch_dims; this.pitch = pitch_dims ? new PitchPrior(tensors) : null; }

  toVector(base) {
    const c = this.pitch?.toVector(base) ?? [];
    return Float32Array.of(...c, ...this.toLatent(base.slice(this.dims), c));
  }
  toBase(vector) {
    const c = Array.from(vector.slice(0, this.dims));
    return Float32Array.of(...(this.pitch?.toBase(c) ?? []), ...this.fromLatent(vector.slice(this.dims), c));
  }
}

// zuko's NSF with coupling layers: rational-quadratic splines on [-5, 5], whose knots a small network reads from the other
// half of the numbers, and from c. Masks are multiplied into the weights by samplevae.instrument.
const BINS = 8, BOUND = 5, LIMIT = Math.log(1e-3);

// The network's numbers, from `at` on -> where the knots are along x, along y, and the derivatives in them
function splineKnots(numbers, at) {
  const cumulate = (from) => {
    const sizes = Array.from({ length: BINS }, (_, i) => { const x = numbers[at + from + i]; return Math.exp(x / (1 + Math.abs(2 * x / LIMIT))); });
    const total = sizes.reduce((a, b) => a + b), knots = [-BOUND];
    let run = 0;
    for (const size of sizes) { run += size / total; knots.push(BOUND * (2 * run - 1)); }
    return knots;
  };
  const derivatives = [1];
  for (let i = 0; i < BINS - 1; i++) { const x = numbers[at + 2 * BINS + i]; derivatives.push(Math.exp(x / (1 + Math.abs(x / LIMIT)))); }
  return [cumulate(0), cumulate(BINS), [...derivatives, 1]];
}

function spline(numbers, at, value, inverse) {
  const [X, Y, D] = splineKnots(numbers, at);
  let k = -1;
  for (const knot of inverse ? Y : X) if (knot < value) k++;
  if (k < 0 || k >= BINS) return value;
  const wide = X[k + 1] - X[k], high = Y[k + 1] - Y[k], s = high / wide, q = D[k] + D[k + 1] - 2 * s;
  if (!inverse) {
    const t = (value - X[k]) / wide;
    return Y[k] + high * (s * t * t + D[k] * t * (1 - t)) / (s + q * t * (1 - t));
  }
  const y = value - Y[k], a = high * (s - D[k]) + y * q, b = high * D[k] - y * q, c = -s * y;
  return X[k] + 2 * c / (-b - Math.sqrt(b * b - 4 * a * c)) * wide;
}

export class FlowPrior extends JointPrior {
  constructor(tensors, config) {
    super(tensors, config);
    Object.assign(this, { tensors, latent: config.latent, layers: config.flow_layers, mean: tensors["prior.mean"], scale: tensors["prior.scale"] });
  }

  // c as the networks read it
  standardise(c) { return c.map((x, i) => (x - this.tensors["prior.pitch_mean"][i]) / this.tensors["prior.pitch_scale"][i]); }

  network(layer, z, c) {
    let x = Float64Array.of(...z, ...c);
    for (const part of [0, 2, 4]) {
      const weight = this.tensors[`prior.${layer}.${part}.weight`], bias = this.tensors[`prior.${layer}.${part}.bias`];
      const y = new Float64Array(bias.length);
      for (let i = 0; i < y.length; i++) {
        let sum = bias[i];
        for (let k = 0; k < x.length; k++) sum += weight[i * x.length + k] * x[k];
        y[i] = part < 4 ? Math.max(0, sum) : sum;
      }
      x = y;
    }
    return x;
  }

  toLatent(base, c) {
    let x = Float64Array.from(base);
    c = this.standardise(c);
    for (let layer = this.layers - 1; layer >= 0; layer--) {
      const y = x;
      x = new Float64Array(this.latent);
      for (let pass = 0; pass < 2; pass++) { // one half is read off the other
        const numbers = this.network(layer, x, c), size = numbers.length / this.latent;
        x = y.map((value, i) => spline(numbers, i * size, value, true));
      }
    }
    return x.map((value, i) => value * this.scale[i] + this.mean[i]);
  }

  fromLatent(z, c) {
    let x = Float64Array.from(z, (value, i) => (value - this.mean[i]) / this.scale[i]);
    c = this.standardise(c);
    for (let layer = 0; layer < this.layers; layer++) {
      const numbers = this.network(layer, x, c), size = numbers.length / this.latent;
      x = x.map((value, i) => spline(numbers, i * size, value, false));
    }
    return x;
  }
}

export class NormalPrior extends JointPrior {
  toLatent(base) { return base; }
  fromLatent(z) { return z; }
}

export const PRIORS = { flow: FlowPrior, normal: NormalPrior };
