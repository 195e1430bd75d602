// The priors of samplevae.prior, in standardised coordinates: `toVector` from normal numbers to a vector, `toBase` back.

// zuko's NSF with coupling layers: rational-quadratic splines on [-5, 5], whose knots a small network reads from the other
// half of the numbers. Masks are multiplied into the weights by samplevae.instrument.
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

export class FlowPrior {
  constructor(tensors, { latent, flow_layers }) {
    Object.assign(this, { tensors, latent, layers: flow_layers, mean: tensors["prior.mean"], scale: tensors["prior.scale"] });
  }

  network(layer, x) {
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

  toVector(base) {
    let x = Float64Array.from(base);
    for (let layer = this.layers - 1; layer >= 0; layer--) {
      const y = x;
      x = new Float64Array(this.latent);
      for (let pass = 0; pass < 2; pass++) { // one half is read off the other
        const numbers = this.network(layer, x), size = numbers.length / this.latent;
        x = y.map((value, i) => spline(numbers, i * size, value, true));
      }
    }
    return Float32Array.from(x, (value, i) => value * this.scale[i] + this.mean[i]);
  }

  toBase(vector) {
    let x = Float64Array.from(vector, (value, i) => (value - this.mean[i]) / this.scale[i]);
    for (let layer = 0; layer < this.layers; layer++) {
      const numbers = this.network(layer, x), size = numbers.length / this.latent;
      x = x.map((value, i) => spline(numbers, i * size, value, false));
    }
    return Float32Array.from(x);
  }
}

export class NormalPrior {
  toVector(base) { return Float32Array.from(base); }
  toBase(vector) { return Float32Array.from(vector); }
}

export const PRIORS = { flow: FlowPrior, normal: NormalPrior };
