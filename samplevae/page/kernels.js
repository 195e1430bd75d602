// A few lines that assemble 1.6 kB of WebAssembly: no compiler, no binary in the repository, and every line readable.
//
//   const kernels = assembleKernels(memory)      // a WebAssembly.Memory
//   kernels.matmul(weights, x, bias, y, rows, columns, frames)
//   kernels.spectrum(spectra, noise, levels, levelTable, noiseLevels, noiseTable, bins, frames)
//   kernels.inverse(spectra, stride, buffer, turns, places, half)
//
// All arguments are integers: places in memory, in bytes, and counts. Matrices are laid out [channel][frame], frames
// padded to a multiple of 8: every operation is then the same for all frames, and four of them fit into one register.
// That goes for the inverse Fourier transform too, which runs for four frames at once and needs no shuffling at all.
// plain_kernels.js has the same three in JavaScript.

const leb = (n) => { const out = []; do { const b = n & 127; n >>>= 7; out.push(n ? b | 128 : b); } while (n); return out; };
const sleb = (n) => { const out = []; for (;;) { const b = n & 127; n >>= 7; if ((n === 0 && !(b & 64)) || (n === -1 && b & 64)) return [...out, b]; out.push(b | 128); } };
const f32bytes = (x) => [...new Uint8Array(new Float32Array([x]).buffer)];
const get = (n) => [0x20, ...leb(n)], set = (n, v) => [...v, 0x21, ...leb(n)];
const int = (n) => [0x41, ...sleb(n)];
const add = (a, b) => [...a, ...b, 0x6a], sub = (a, b) => [...a, ...b, 0x6b], mul = (a, b) => [...a, ...b, 0x6c], shl = (a, n) => [...a, ...int(n), 0x74];
const less = (a, b) => [...a, ...b, 0x48]; // signed
const simd = (op, ...args) => [...args.flat(), 0xfd, ...leb(op)];
const load = (at, off = 0) => [...at, 0xfd, 0x00, 4, ...leb(off)];
const splat = (at, off = 0) => [...at, 0xfd, 0x09, 2, ...leb(off)]; // one float into four lanes
const store = (at, v, off = 0) => [...at, ...v, 0xfd, 0x0b, 4, ...leb(off)];
const loadInt = (at, off = 0) => [...at, 0x28, 2, ...leb(off)];
const vadd = (a, b) => simd(228, a, b), vsub = (a, b) => simd(229, a, b), vmul = (a, b) => simd(230, a, b);
const all = (x) => [0x43, ...f32bytes(x), 0xfd, 19]; // a constant in four lanes
const again = (body, condition) => [0x03, 0x40, ...body, ...condition, 0x0d, 0, 0x0b]; // do … while

export function assembleKernels(memory) {
  const functions = [];
  const define = (name, params, ints, vectors, body) => functions.push({ name, params, ints, vectors, body: body.flat(2) });

  // c[n][m] = bias[n] + sum over k of w[n][k] h[k][m]; w packed in blocks of four rows: [n / 4][k][4]
  {
    const [w, h, bias, c, n, k, m, i, j, kk, pw, ph, mb, pc] = Array(14).keys();
    const acc = Array.from({ length: 8 }, (_, r) => 14 + r), [h0, h1, s] = [22, 23, 24];
    const rows = [0, 1, 2, 3];
    define("matmul", 7, 7, 11, [
      set(mb, shl(get(m), 2)), set(i, int(0)),
      again([
        set(j, int(0)),
        again([
          rows.flatMap((r) => [...set(acc[2 * r], splat(get(bias), 4 * r)), ...set(acc[2 * r + 1], get(acc[2 * r]))]),
          set(pw, get(w)), set(ph, add(get(h), shl(get(j), 2))), set(kk, get(k)),
          again([
            set(h0, load(get(ph))), set(h1, load(get(ph), 16)),
            rows.flatMap((r) => [
              ...set(s, splat(get(pw), 4 * r)),
              ...set(acc[2 * r], vadd(get(acc[2 * r]), vmul(get(s), get(h0)))),
              ...set(acc[2 * r + 1], vadd(get(acc[2 * r + 1]), vmul(get(s), get(h1)))),
            ]),
            set(pw, add(get(pw), int(16))), set(ph, add(get(ph), get(mb))), set(kk, sub(get(kk), int(1))),
          ].flat(1), get(kk)),
          set(pc, add(get(c), shl(get(j), 2))),
          rows.flatMap((r) => [...store(get(pc), get(acc[2 * r])), ...store(get(pc), get(acc[2 * r + 1]), 16), ...set(pc, add(get(pc), get(mb)))]),
          set(j, add(get(j), int(8))),
        ].flat(1), less(get(j), get(m))),
        set(w, add(get(w), shl(get(k), 4))), set(bias, add(get(bias), int(16))), set(c, add(get(c), shl(get(mb), 2))),
        set(i, add(get(i), int(4))),
      ].flat(1), less(get(i), get(n))),
    ]);
  }

  // s[b] = s[b] exp(levels at b) + fixed[b] exp(noise levels at b), real and imaginary rows; both levels are read
  // between two neighbouring bands (table: place of the lower band in bytes, weight of the upper one)
  {
    const [s, fixed, a, at, b, bt, bins, m, i, j, mb, p, q, x] = Array(14).keys(), [t, f, g, e] = [14, 15, 16, 17];
    const exp = (into, value) => { // 2^n 2^f, |f| <= 1/2
      let poly = all(Math.LN2 ** 7 / 5040);
      for (const c of [720, 120, 24, 6, 2, 1, 1].map((d, n) => Math.LN2 ** (6 - n) / d)) poly = vadd(vmul(poly, get(f)), all(c));
      return [
        ...set(t, vmul(value, all(Math.LOG2E))), ...set(e, simd(106, get(t))), ...set(f, vsub(get(t), get(e))),
        ...set(into, poly), // as a float, whose exponent grows by n
        ...set(into, simd(174, get(into), [...simd(248, get(e)), ...int(23), 0xfd, ...leb(171)])),
      ];
    };
    const between = (levels, table) => [
      ...set(x, add(add(get(levels), loadInt(get(table))), get(j))),
      ...vadd(load(get(x)), vmul(splat(get(table), 4), vsub(load(add(get(x), get(mb))), load(get(x))))),
    ];
    define("spectrum", 8, 6, 4, [
      set(mb, shl(get(m), 2)), set(i, int(0)),
      again([
        set(j, int(0)),
        again([
          exp(g, between(a, at)),
          set(p, add(get(s), get(j))),
          store(get(p), vmul(load(get(p)), get(g))),
          set(q, add(get(p), get(mb))), store(get(q), vmul(load(get(q)), get(g))),
          exp(g, between(b, bt)),
          set(x, add(get(fixed), get(j))),
          store(get(p), vadd(load(get(p)), vmul(load(get(x)), get(g)))),
          set(x, add(get(x), get(mb))), store(get(q), vadd(load(get(q)), vmul(load(get(x)), get(g)))),
          set(j, add(get(j), int(16))),
        ].flat(1), less(get(j), get(mb))),
        set(s, add(get(s), shl(get(mb), 1))), set(fixed, add(get(fixed), shl(get(mb), 1))),
        set(at, add(get(at), int(8))), set(bt, add(get(bt), int(8))), set(i, add(get(i), int(1))),
      ].flat(1), less(get(i), get(bins))),
    ]);
  }

  // the inverse real Fourier transform of four frames: `half` complex numbers from `half` + 1 bins, then butterflies.
  // s: first bin of these frames; buf: [half][re, im][4 frames]; tw: cos and sin of 2 pi k / (2 half); rev: places
  {
    const [s, mb, buf, tw, rev, half, k, p, q, size, step, j, end, o] = Array(14).keys();
    const [ar, ai, br, bi, c, d, u, v] = [14, 15, 16, 17, 18, 19, 20, 21];
    define("inverse", 6, 8, 8, [
      set(k, int(0)), set(p, get(s)), set(q, add(get(s), mul(get(half), shl(get(mb), 1)))),
      again([
        set(ar, vadd(load(get(p)), load(get(q)))), set(br, vsub(load(get(p)), load(get(q)))),
        set(u, load(add(get(p), get(mb)))), set(v, load(add(get(q), get(mb)))),
        set(ai, vsub(get(u), get(v))), set(bi, vadd(get(u), get(v))),
        set(o, add(get(tw), shl(get(k), 3))), set(c, splat(get(o))), set(d, splat(get(o), 4)),
        set(o, add(get(buf), loadInt(add(get(rev), shl(get(k), 2))))),
        store(get(o), vsub(get(ar), vadd(vmul(get(br), get(d)), vmul(get(bi), get(c))))),
        store(get(o), vadd(get(ai), vsub(vmul(get(br), get(c)), vmul(get(bi), get(d)))), 16),
        set(p, add(get(p), shl(get(mb), 1))), set(q, sub(get(q), shl(get(mb), 1))), set(k, add(get(k), int(1))),
      ].flat(1), less(get(k), get(half))),
      set(size, int(32)), set(step, shl(get(half), 3)), set(end, shl(get(half), 5)), // in bytes
      again([
        set(j, int(0)), set(o, get(tw)),
        again([
          set(c, splat(get(o))), set(d, splat(get(o), 4)), set(k, get(j)),
          again([
            set(p, add(get(buf), get(k))), set(q, add(get(p), get(size))),
            set(u, load(get(q))), set(v, load(get(q), 16)),
            set(br, vsub(vmul(get(u), get(c)), vmul(get(v), get(d)))), set(bi, vadd(vmul(get(u), get(d)), vmul(get(v), get(c)))),
            set(ar, load(get(p))), set(ai, load(get(p), 16)),
            store(get(p), vadd(get(ar), get(br))), store(get(p), vadd(get(ai), get(bi)), 16),
            store(get(q), vsub(get(ar), get(br))), store(get(q), vsub(get(ai), get(bi)), 16),
            set(k, add(get(k), shl(get(size), 1))),
          ].flat(1), less(get(k), get(end))),
          set(o, add(get(o), get(step))), set(j, add(get(j), int(32))),
        ].flat(1), less(get(j), get(size))),
        set(step, [...get(step), ...int(1), 0x75]), set(size, shl(get(size), 1)),
      ].flat(1), less(get(size), get(end))),
    ]);
  }

  const section = (id, items) => { const body = [...leb(items.length), ...items.flat()]; return [id, ...leb(body.length), ...body]; };
  const text = (t) => [...leb(t.length), ...[...t].map((x) => x.charCodeAt(0))];
  const code = functions.map(({ ints, vectors, body }) => { const all = [2, ...leb(ints), 0x7f, ...leb(vectors), 0x7b, ...body, 0x0b]; return [...leb(all.length), ...all]; });
  const bytes = new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, functions.map((f) => [0x60, ...leb(f.params), ...Array(f.params).fill(0x7f), 0])),
    ...section(2, [[...text("e"), ...text("m"), 2, 0, 1]]),
    ...section(3, functions.map((_, n) => leb(n))),
    ...section(7, functions.map((f, n) => [...text(f.name), 0, ...leb(n)])),
    ...section(10, code),
  ]);
  const module = new WebAssembly.Module(bytes); // small enough to be compiled at once
  return new WebAssembly.Instance(module, { e: { m: memory } }).exports;
}
