// Functions that torch has and JavaScript lacks: random numbers, GELU, a Fourier transform of any length, equations.

// torch.randn(count, generator=torch.Generator().manual_seed(seed)) on a CPU, count >= 16: a Mersenne Twister, 24 bits
// of each number, and Box-Muller within blocks of 16, cosines in the first half and sines in the second.
export function randn(count, seed = 0) {
  const state = new Uint32Array(624), out = new Float32Array(count);
  state[0] = seed;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let at = 624;
  const refill = () => {
    for (let i = 0; i < 624; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  const uniform = () => {
    if (at === 624) refill();
    let y = state[at++];
    y ^= y >>> 11; y ^= (y << 7) & 0x9d2c5680; y ^= (y << 15) & 0xefc60000; y ^= y >>> 18;
    return (y & 0xffffff) / 0x1000000;
  };
  const boxMuller = (from) => {
    for (let j = from; j < from + 8; j++) {
      const radius = Math.sqrt(-2 * Math.log(1 - out[j])), angle = 2 * Math.PI * out[j + 8];
      out[j] = radius * Math.cos(angle); out[j + 8] = radius * Math.sin(angle);
    }
  };
  for (let i = 0; i < count; i++) out[i] = uniform();
  for (let i = 0; i + 16 <= count; i += 16) boxMuller(i);
  if (count % 16) { // the last 16 are drawn again
    for (let i = count - 16; i < count; i++) out[i] = uniform();
    boxMuller(count - 16);
  }
  return out;
}

// Any number of normal numbers from a seed
export const normals = (count, seed) => randn(Math.max(16, Math.ceil(count / 16) * 16), seed).subarray(0, count);

// The normal density, and the normal distribution function: exact to 1e-15, and from -6 on to 9 digits of whatever is left. A
// quotient of polynomials (J. F. Hart et al., Computer Approximations, 1968, number 5666), the highest power first.
export const normalDensity = (x) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
const ABOVE = [0.0352624965998911, 0.700383064443688, 6.37396220353165, 33.912866078383, 112.079291497871, 221.213596169931, 220.206867912376];
const UNDER = [0.0883883476483184, 1.75566716318264, 16.064177579207, 86.7807322029461, 296.564248779674, 637.333633378831, 793.826512519948, 440.413735824752];
export function normalBelow(x) {
  if (x > 0) return 1 - normalBelow(-x);
  let above = 0, under = 0;
  for (const factor of ABOVE) above = factor - x * above;
  for (const factor of UNDER) under = factor - x * under;
  return Math.exp(-x * x / 2) * above / under;
}

// GELU by a table of both: from the nearest point, three steps of Taylor, exact to 1e-11
const [PHI, PDF] = [normalBelow, normalDensity].map((f) => Float64Array.from({ length: 257 * 14 + 1 }, (_, i) => f(-7 + i / 256)));

export function gelu(x) {
  if (x < -7) return 0;
  if (x > 7) return x;
  const i = Math.round((x + 7) * 256), x0 = -7 + i / 256, d = x - x0;
  return x * (PHI[i] + PDF[i] * d * (1 - d * (x0 / 2 - d * (x0 * x0 - 1) / 6)));
}

// The number below which a normal number is with probability p: a start that is right to 5e-4, then Halley's steps
export function normalQuantile(p) {
  if (p > 0.5) return -normalQuantile(1 - p);
  const t = Math.sqrt(-2 * Math.log(p));
  let x = (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
  for (let i = 0; i < 3; i++) {
    const u = (normalBelow(x) - p) / normalDensity(x);
    x -= u / (1 + x * u / 2);
  }
  return x;
}

export const sigmoid = (x) => 1 / (1 + Math.exp(-x));
export const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
export const roundEven = (x) => Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x); // as Python and torch do
export const ceilTo = (n, step) => Math.ceil(n / step) * step;

// y[i] = bias[i] + sum over k of weight[i][k] x[k]
export function linear(weight, bias, x, rows = bias.length) {
  const y = new Float64Array(rows), n = x.length;
  for (let i = 0; i < rows; i++) {
    let sum = bias ? bias[i] : 0;
    for (let k = 0; k < n; k++) sum += weight[i * n + k] * x[k];
    y[i] = sum;
  }
  return y;
}

// A Fourier transform of any length that has only small prime factors, for the encoder, where speed is no matter
export function fourier(re, im) {
  const n = re.length, outRe = new Float64Array(n), outIm = new Float64Array(n);
  const cos = Float64Array.from({ length: n }, (_, i) => Math.cos(2 * Math.PI * i / n));
  const sin = Float64Array.from({ length: n }, (_, i) => -Math.sin(2 * Math.PI * i / n));
  const transform = (from, step, count, to) => {
    if (count === 1) { outRe[to] = re[from]; outIm[to] = im[from]; return; }
    let p = 2;
    while (count % p) p++;
    const m = count / p, partRe = new Float64Array(p), partIm = new Float64Array(p);
    for (let r = 0; r < p; r++) transform(from + r * step, step * p, m, to + r * m);
    for (let k = 0; k < m; k++) {
      for (let r = 0; r < p; r++) {
        const w = (r * k * step) % n, x = outRe[to + r * m + k], y = outIm[to + r * m + k];
        partRe[r] = x * cos[w] - y * sin[w]; partIm[r] = x * sin[w] + y * cos[w];
      }
      for (let q = 0; q < p; q++) {
        let x = 0, y = 0;
        for (let r = 0; r < p; r++) {
          const w = ((r * q) % p) * (n / p);
          x += partRe[r] * cos[w] - partIm[r] * sin[w]; y += partRe[r] * sin[w] + partIm[r] * cos[w];
        }
        outRe[to + q * m + k] = x; outIm[to + q * m + k] = y;
      }
    }
  };
  transform(0, 1, n, 0);
  return [outRe, outIm];
}

// A x = b for a symmetric, positive A: Gauss without a search for pivots
export function solve(A, b) {
  const n = b.length, M = A.map((row, i) => [...row, b[i]]), x = Array(n);
  for (let i = 0; i < n; i++) for (let r = i + 1; r < n; r++) {
    const q = M[r][i] / M[i][i];
    for (let c = i; c <= n; c++) M[r][c] -= q * M[i][c];
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = M[i][n];
    for (let c = i + 1; c < n; c++) sum -= M[i][c] * x[c];
    x[i] = sum / M[i][i];
  }
  return x;
}
export const invert = (A) => A.map((_, k) => solve(A, A.map((_, i) => +(i === k))));

// A point on the way from a to b, along an arc: of normal numbers, each such point is as likely as the ends
export function arc(a, b, t) {
  const dot = a.reduce((sum, x, k) => sum + x * b[k], 0), angle = Math.acos(clamp(dot / Math.hypot(...a) / Math.hypot(...b) || 0, -1, 1)), sin = Math.sin(angle);
  const [p, q] = sin > 1e-3 ? [Math.sin((1 - t) * angle) / sin, Math.sin(t * angle) / sin] : [1 - t, t];
  return a.map((x, k) => p * x + q * b[k]);
}
