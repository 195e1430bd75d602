// The priors of samplevae.prior: `toVector` from standard normal numbers to a vector, `toBase` back. Where a model has a pitch,
// a prior is p(c) p(z | c): c the first two numbers of a vector, the pitch and its confidence, z the latent ones.
import { clamp, normalBelow, normalDensity, normalQuantile } from "./arithmetic.js";

const LEAST = 1e-9, FAR = -normalQuantile(LEAST); // probabilities are kept so far from 0 and 1, base numbers so near to 0

// How likely a number is below x, and its density there: by normal distributions with weights, means and standard deviations
function belowAndDensity(parts, x) {
  let below = 0, density = 0;
  for (const { weight, mean, std } of parts) {
    const noise = (x - mean) / std;
    below += weight * normalBelow(noise); density += weight * normalDensity(noise) / std;
  }
  return [below, density];
}
const toNormal = (parts, x) => normalQuantile(clamp(belowAndDensity(parts, x)[0], LEAST, 1 - LEAST));

// Back. The number is between those that the parts would give alone: Newton's steps from their mean, and halving where such
// a step leads out of what is left between, or is no shorter than half of the last one
function fromNormal(parts, normal) {
  const base = clamp(normal, -FAR, FAR), wanted = normalBelow(base), alone = parts.map(({ mean, std }) => mean + base * std);
  let low = Math.min(...alone), high = Math.max(...alone), step = high - low;
  let x = parts.reduce((sum, { weight }, k) => sum + weight * alone[k], 0);
  while (Math.abs(step) > 1e-13 * (1 + Math.abs(x))) {
    const [below, density] = belowAndDensity(parts, x), newton = (wanted - below) / density;
    if (below < wanted) low = x; else high = x;
    step = x + newton > low && x + newton < high && Math.abs(newton) < Math.abs(step) / 2 ? newton : (low + high) / 2 - x;
    x += step;
  }
  return x;
}

// A mixture of normal distributions, as in samplevae.vectors: weights (K,), means (K, D) and factors, which are standard
// deviations (K, D), or lower triangles (K, D, D)
class Mixture {
  constructor(tensors, name) {
    const [weight, mean, factor] = ["weight", "mean", "factor"].map((part) => tensors[`prior.${name}.${part}`]);
    Object.assign(this, { weight, mean, factor, numbers: mean.length / weight.length, full: factor.length > mean.length });
  }

  // What number i takes in component k of the noise of those before it, if anything, and last its own standard deviation
  row(k, i) {
    const at = k * this.numbers + i, start = this.full ? at * this.numbers : at;
    return this.factor.subarray(start, this.full ? start + i + 1 : start + 1);
  }

  // The first numbers of a vector, and base numbers for the others -> the whole vector, and base numbers for all. Number i is
  // read given those before it: they decide how likely each component is, and their noise in it moves its mean.
  read(known, base) {
    const vector = [], back = [], parts = Array.from(this.weight, (weight) => ({ log: Math.log(weight), noise: [], weight, mean: 0, std: 1 }));
    for (let i = 0; i < this.numbers; i++) {
      const most = Math.max(...parts.map(({ log }) => log)), sum = parts.reduce((sum, { log }) => sum + Math.exp(log - most), 0);
      for (const [k, part] of parts.entries()) {
        const row = this.row(k, i), last = row.length - 1;
        part.weight = Math.exp(part.log - most) / sum; part.mean = this.mean[k * this.numbers + i]; part.std = row[last];
        for (let j = 0; j < last; j++) part.mean += row[j] * part.noise[j];
      }
      const likely = parts.filter(({ weight }) => weight > 1e-16), x = i < known.length ? known[i] : fromNormal(likely, base[i - known.length]);
      vector.push(x); back.push(toNormal(likely, x));
      for (const part of parts) {
        const noise = (x - part.mean) / part.std;
        part.noise.push(noise); part.log -= noise ** 2 / 2 + Math.log(part.std);
      }
    }
    return [vector, back];
  }
  toVector(base) { return this.read([], base)[0]; }
  toBase(vector) { return this.read(vector, [])[1]; }
}

// Both parts: p(c) is a mixture; a prior below says how z comes from base numbers, given c, and how it goes back
class JointPrior {
  constructor(tensors, { pitch_dims }) { this.dims = pitch_dims; this.pitch = pitch_dims ? new Mixture(tensors, "pitch") : null; }

  toVector(base) {
    const c = (this.pitch?.toVector(base) ?? []).map((x, i) => Math.fround(i ? clamp(x, 0, 1) : x)); // as the vector keeps it
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

// Linear layers, 0, 2, 4 ... by name, with a bend after each but the last
function perceptron(tensors, name, layers, x, bend) {
  for (let layer = 0; layer < layers; layer++) {
    const weight = tensors[`${name}.${2 * layer}.weight`], bias = tensors[`${name}.${2 * layer}.bias`], y = new Float64Array(bias.length);
    for (let i = 0; i < y.length; i++) {
      let sum = bias[i];
      for (let k = 0; k < x.length; k++) sum += weight[i * x.length + k] * x[k];
      y[i] = layer < layers - 1 ? bend(sum) : sum;
    }
    x = y;
  }
  return x;
}

export class FlowPrior extends JointPrior {
  constructor(tensors, config) {
    super(tensors, config);
    Object.assign(this, { tensors, latent: config.latent, layers: config.flow_layers, mean: tensors["prior.mean"], scale: tensors["prior.scale"] });
  }

  // c as the networks read it
  standardise(c) { return c.map((x, i) => (x - this.tensors["prior.pitch_mean"][i]) / this.tensors["prior.pitch_scale"][i]); }

  network(layer, z, c) { return perceptron(this.tensors, `prior.${layer}`, 3, Float64Array.of(...z, ...c), (x) => Math.max(0, x)); }

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

// Flow matching: along a velocity from noise to vectors, or against it, by Heun's method
const STEPS = 32; // as samplevae.prior has them

export class FlowMatchingPrior extends FlowPrior {
  velocity(time, x, c) { return perceptron(this.tensors, "prior.velocity", 4, Float64Array.of(...x, ...c, time), (sum) => sum / (1 + Math.exp(-sum))); }

  follow(x, c, direction) {
    const h = direction / STEPS;
    for (let step = 0; step < STEPS; step++) {
      const time = (direction > 0 ? step : STEPS - step) / STEPS, first = this.velocity(time, x, c);
      const second = this.velocity(time + h, x.map((value, i) => value + h * first[i]), c);
      x = x.map((value, i) => value + h / 2 * (first[i] + second[i]));
    }
    return x;
  }

  toLatent(base, c) { return this.follow(Float64Array.from(base), this.standardise(c), 1).map((value, i) => value * this.scale[i] + this.mean[i]); }
  fromLatent(z, c) { return this.follow(Float64Array.from(z, (value, i) => (value - this.mean[i]) / this.scale[i]), this.standardise(c), -1); }
}

export class NormalPrior extends JointPrior {
  toLatent(base) { return base; }
  fromLatent(z) { return z; }
}

// A mixture over whole vectors, of which c is known
export class MixturePrior extends JointPrior {
  constructor(tensors, config) { super(tensors, config); this.joint = new Mixture(tensors, "joint"); }

  toLatent(base, c) { return this.joint.read(c, base)[0].slice(this.dims); }
  fromLatent(z, c) { return this.joint.toBase([...c, ...z]).slice(this.dims); }
}

export const PRIORS = { flow: FlowPrior, "flow-matching": FlowMatchingPrior, normal: NormalPrior, mixture: MixturePrior };
