// One block of memory that the kernels see, and the layers that work in it: samplevae.layers.ConvNeXtBlock, upsampling and
// downsampling. The layers read and write `this.a`, (channels, frames); `this.b` and `this.h` are their scratch.
import { ceilTo, gelu } from "./arithmetic.js";
import { assembleKernels } from "./kernels.js";
import { plainKernels } from "./plain_kernels.js";

export class Workspace {
  constructor(tensors, width, frames) {
    Object.assign(this, { tensors, width, frames, matrices: {}, top: 1024, pending: [] });
    this.a = this.take(width * frames); this.b = this.take(width * frames); this.h = this.take(3 * width * frames);
  }

  // Room for so many numbers -> its place, in bytes
  take(count) {
    const at = this.top;
    this.top += ceilTo(4 * count, 64);
    return at;
  }

  // Reserve a matrix, whose weights are laid out as the kernel wants them: in blocks of four rows, [row / 4][column][4]
  matrix(name, rows, columns) {
    const weight = this.tensors[`${name}.weight`], bias = this.tensors[`${name}.bias`], padded = ceilTo(rows, 4);
    const entry = this.matrices[name] = { at: this.take(padded * columns), bias: this.take(padded), rows: padded, columns };
    this.pending.push(() => {
      for (let i = 0; i < rows; i++) for (let k = 0; k < columns; k++) {
        this.F[(entry.at >> 2) + (i >> 2) * 4 * columns + 4 * k + (i & 3)] = weight[i * columns + k];
      }
      if (bias) this.F.set(bias, entry.bias >> 2); // where there is none, memory is 0
    });
  }

  matrixOfBlock(name) {
    this.matrix(`${name}.wide`, 3 * this.width, this.width);
    this.matrix(`${name}.narrow`, this.width, 3 * this.width);
  }

  // When everything is reserved: get the memory, fill in the weights, make the kernels ("auto", "wasm" or "plain")
  open(kernels = "auto") {
    this.memory = new WebAssembly.Memory({ initial: Math.ceil(this.top / 65536) });
    this.F = new Float32Array(this.memory.buffer); this.I = new Int32Array(this.memory.buffer);
    for (const fill of this.pending) fill();
    this.pending = [];
    this.kind = "wasm";
    if (kernels !== "plain") try { this.kernels = assembleKernels(this.memory); } catch (error) { if (kernels === "wasm") throw error; }
    if (!this.kernels) { this.kernels = plainKernels(this.memory.buffer); this.kind = "plain"; }
  }

  view(at, count) { return this.F.subarray(at >> 2, (at >> 2) + count); }

  matmul(name, from, to, frames) {
    const { at, bias, rows, columns } = this.matrices[name];
    this.kernels.matmul(at, from, bias, to, rows, columns, ceilTo(frames, 8));
  }

  // LayerNorm over the channels of each frame
  layerNorm(x, y, name, frames, stride) {
    const { width, tensors } = this, gain = tensors[`${name}.weight`], bias = tensors[`${name}.bias`];
    for (let j = 0; j < frames; j++) {
      let sum = 0, squares = 0;
      for (let c = 0; c < width; c++) sum += x[c * stride + j];
      const mean = sum / width;
      for (let c = 0; c < width; c++) squares += (x[c * stride + j] - mean) ** 2;
      const scale = 1 / Math.sqrt(squares / width + 1e-5);
      for (let c = 0; c < width; c++) y[c * stride + j] = (x[c * stride + j] - mean) * scale * gain[c] + bias[c];
    }
  }

  convNeXtBlock(name, frames) {
    const { width, tensors } = this, stride = ceilTo(frames, 8), x = this.view(this.a, width * stride), y = this.view(this.b, width * stride);
    const kernel = tensors[`${name}.depthwise.weight`], bias = tensors[`${name}.depthwise.bias`], scale = tensors[`${name}.scale`];
    for (let c = 0; c < width; c++) for (let j = 0; j < frames; j++) {
      let sum = bias[c];
      for (let k = Math.max(0, 3 - j), end = Math.min(7, frames + 3 - j); k < end; k++) sum += kernel[7 * c + k] * x[c * stride + j + k - 3];
      y[c * stride + j] = sum;
    }
    this.layerNorm(y, y, `${name}.norm`, frames, stride);
    this.matmul(`${name}.wide`, this.b, this.h, frames);
    const h = this.view(this.h, 3 * width * stride);
    for (let i = 0; i < h.length; i++) h[i] = gelu(h[i]);
    this.matmul(`${name}.narrow`, this.h, this.b, frames);
    for (let c = 0; c < width; c++) for (let j = 0; j < frames; j++) x[c * stride + j] += scale[c] * y[c * stride + j];
  }

  // Linear interpolation to twice as many frames -> their number
  upsample(frames) {
    const { width, F } = this, from = ceilTo(frames, 8), to = ceilTo(2 * frames, 8), a = this.a >> 2, b = this.b >> 2;
    for (let c = 0; c < width; c++) for (let j = 0; j < 2 * frames; j++) {
      const at = Math.max(0, (j + 0.5) / 2 - 0.5), i = Math.floor(at), part = at - i;
      F[b + c * to + j] = F[a + c * from + i] * (1 - part) + F[a + c * from + Math.min(i + 1, frames - 1)] * part;
    }
    F.copyWithin(a, b, b + width * to);
    return 2 * frames;
  }

  // A convolution with kernel 4 and stride 2 -> the number of frames that are left
  downsample(name, frames) {
    const { width, F } = this, from = ceilTo(frames, 8), half = frames / 2, to = ceilTo(half, 8), a = this.a >> 2, b = this.h >> 2;
    this.view(this.h, 3 * width * this.frames).fill(0);
    for (let c = 0; c < width; c++) for (let k = 0; k < 4; k++) for (let j = 0; j < half; j++) {
      const i = 2 * j + k - 1;
      F[b + (4 * c + k) * to + j] = i >= 0 && i < frames ? F[a + c * from + i] : 0;
    }
    this.matmul(name, this.h, this.a, half);
    return half;
  }
}
