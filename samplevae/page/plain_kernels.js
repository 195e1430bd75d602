// The three kernels of kernels.js in plain JavaScript: for a browser without SIMD, and to see what SIMD is worth.

export function plainKernels(buffer) {
  const F = new Float32Array(buffer), I = new Int32Array(buffer);
  return {
    matmul(w, h, bias, c, n, k, m) {
      w >>= 2; h >>= 2; bias >>= 2; c >>= 2;
      for (let i = 0; i < n; i++) {
        const row = F.subarray(c + i * m, c + (i + 1) * m).fill(F[bias + i]);
        for (let kk = 0, p = w + (i >> 2) * 4 * k + (i & 3), q = h; kk < k; kk++, p += 4, q += m) {
          const x = F[p];
          for (let j = 0; j < m; j++) row[j] += x * F[q + j];
        }
      }
    },
    spectrum(s, fixed, a, at, b, bt, bins, m) {
      s >>= 2; fixed >>= 2; at >>= 2; bt >>= 2;
      for (let i = 0; i < bins; i++, s += 2 * m, fixed += 2 * m) {
        const p = (a + I[at + 2 * i]) >> 2, pw = F[at + 2 * i + 1], q = (b + I[bt + 2 * i]) >> 2, qw = F[bt + 2 * i + 1];
        for (let j = 0; j < m; j++) {
          const g = Math.exp(F[p + j] + pw * (F[p + m + j] - F[p + j])), e = Math.exp(F[q + j] + qw * (F[q + m + j] - F[q + j]));
          F[s + j] = F[s + j] * g + F[fixed + j] * e;
          F[s + m + j] = F[s + m + j] * g + F[fixed + m + j] * e;
        }
      }
    },
    inverse(s, mb, buf, tw, rev, half) {
      s >>= 2; buf >>= 2; tw >>= 2; rev >>= 2;
      const m = mb >> 2;
      for (let k = 0; k < half; k++) {
        const p = s + 2 * k * m, q = s + 2 * (half - k) * m, c = F[tw + 2 * k], d = F[tw + 2 * k + 1], o = buf + (I[rev + k] >> 2);
        for (let l = 0; l < 4; l++) {
          const ar = F[p + l] + F[q + l], br = F[p + l] - F[q + l], ai = F[p + m + l] - F[q + m + l], bi = F[p + m + l] + F[q + m + l];
          F[o + l] = ar - (br * d + bi * c); F[o + 4 + l] = ai + (br * c - bi * d);
        }
      }
      for (let size = 1; size < half; size *= 2) for (let j = 0; j < size; j++) {
        const c = F[tw + (2 * j * half) / size], d = F[tw + (2 * j * half) / size + 1];
        for (let k = j; k < half; k += 2 * size) for (let p = buf + 8 * k, q = p + 8 * size, l = 0; l < 4; l++, p++, q++) {
          const br = F[q] * c - F[q + 4] * d, bi = F[q] * d + F[q + 4] * c, ar = F[p], ai = F[p + 4];
          F[p] = ar + br; F[p + 4] = ai + bi; F[q] = ar - br; F[q + 4] = ai - bi;
        }
      }
    },
  };
}
