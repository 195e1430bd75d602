// Canvases: the wave, the spectrogram, the ridges beside the sliders. They are painted once a frame and never delay the sound.
import { clamp } from "./arithmetic.js";

const NAMES = ["paper", "plate", "ink", "soft", "faint", "hair", "red", "ridge", "k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"];
export const FONT = '"Helvetica Neue", Arial, "Liberation Sans", sans-serif';

// The colours of the theme, as a canvas wants them: an element is given each, and asked which it has
export function readColours(inst) {
  const probe = document.createElement("i"), ink = {};
  inst.append(probe);
  for (const name of NAMES) { probe.style.color = `var(--${name})`; ink[name] = getComputedStyle(probe).color; }
  probe.remove();
  const numbers = (text) => text.match(/[\d.]+/g).slice(0, 3).map((x) => text.startsWith("color") ? 255 * x : +x);
  const [from, to] = [numbers(ink.plate), numbers(ink.ink)];
  const mix = (i, c) => Math.round(from[c] + (to[c] - from[c]) * (i / 255) ** 1.25);
  ink.ramp = Uint32Array.from({ length: 256 }, (_, i) => 0xff000000 + (mix(i, 2) << 16) + (mix(i, 1) << 8) + mix(i, 0)); // of a spectrogram
  return ink;
}

export function sizeCanvas(canvas) {
  const ratio = Math.min(2, devicePixelRatio || 1), w = Math.max(1, Math.round(canvas.clientWidth * ratio)), h = Math.max(1, Math.round(canvas.clientHeight * ratio));
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const g = canvas.getContext("2d");
  g.setTransform(1, 0, 0, 1, 0, 0); g.clearRect(0, 0, w, h);
  return { g, w, h, ratio };
}

export function drawWave(canvas, wave, { colour, under = null, underColour, grid = 0, gridColour } = {}) {
  const { g, w, h, ratio } = sizeCanvas(canvas), middle = h / 2;
  const trace = (data, fill) => {
    g.fillStyle = fill;
    for (let x = 0; x < w; x++) {
      let low = 0, high = 0;
      for (let i = Math.floor(x / w * data.length), end = Math.floor((x + 1) / w * data.length); i < end; i++) { if (data[i] < low) low = data[i]; if (data[i] > high) high = data[i]; }
      g.fillRect(x, middle - high * middle * 0.94, 1, Math.max(ratio * 0.6, (high - low) * middle * 0.94));
    }
  };
  g.fillStyle = gridColour;
  for (let t = 0.1; t < grid - 0.01; t += 0.1) g.fillRect(Math.round(t / grid * w), 0, 1, h);
  if (under) trace(under, underColour);
  trace(wave, colour);
}

const small = typeof document === "undefined" ? null : document.createElement("canvas");

// picture: { power, frames, hop } of worker.js; pitch: the course of the oscillator, in octaves, drawn as a line, or null
export function drawSpectrogram(canvas, picture, { ink, rate, length, pitch = null, hop, until = 1 }) {
  const { g, w, h, ratio } = sizeCanvas(canvas), { power, frames } = picture, rows = 110, low = Math.log2(40), high = Math.log2(Math.min(20000, 0.49 * rate));
  const y = (octaves) => (high - octaves) / (high - low) * h, seconds = length / rate;
  small.width = frames; small.height = rows;
  const context = small.getContext("2d"), image = context.createImageData(frames, rows), pixels = new Uint32Array(image.data.buffer);
  let most = 1e-9;
  for (const p of power) if (p > most) most = p;
  for (let row = 0; row < rows; row++) {
    const bin = (r) => 2 ** (high - r / rows * (high - low)) * 1024 / rate, a = bin(row + 1), b = bin(row), from = Math.floor(a), part = a - from;
    for (let f = 0; f < frames; f++) {
      let p = power[f * 513 + from] * (1 - part) + power[f * 513 + from + 1] * part;
      for (let k = from + 1; k <= b && k < 513; k++) if (power[f * 513 + k] > p) p = power[f * 513 + k];
      pixels[row * frames + f] = ink.ramp[clamp(Math.round(255 * (1 + 10 * Math.log10(p / most + 1e-12) / 72)), 0, 255)];
    }
  }
  context.putImageData(image, 0, 0);
  g.imageSmoothingQuality = "high";
  const wide = picture.hop / length * w, end = (frames - 0.5) * wide; // frames stand on their middles
  g.drawImage(small, -0.5 * wide, 0, frames * wide, h);
  if (end < w) g.drawImage(small, frames - 1, 0, 1, rows, end - 1, 0, w - end + 1, h);
  drawAxes(g, { w, h, ratio, y, seconds, ink, high });
  if (!pitch) return;
  g.strokeStyle = ink.red; g.lineWidth = 1.5 * ratio; g.beginPath();
  pitch.forEach((octaves, i) => { const x = (i + 0.5) * hop / length * w; if (x <= until * w) g.lineTo(x, y(octaves)); });
  g.stroke();
}

function drawAxes(g, { w, h, ratio, y, seconds, ink, high }) {
  const tag = (text, x, top) => {
    const wide = g.measureText(text).width;
    g.fillStyle = ink.plate; g.globalAlpha = 0.8; g.fillRect(x - 2 * ratio, top, wide + 4 * ratio, 13 * ratio);
    g.globalAlpha = 1; g.fillStyle = ink.soft; g.fillText(text, x, top + 6.5 * ratio);
  };
  g.font = `${10 * ratio}px ${FONT}`; g.textBaseline = "middle"; g.textAlign = "left";
  for (const [f, label] of [[100, "100 Hz"], [1000, "1 kHz"], [10000, "10 kHz"]]) if (Math.log2(f) < high) {
    const at = Math.round(y(Math.log2(f)));
    g.fillStyle = ink.soft; g.globalAlpha = 0.35; g.fillRect(0, at, w, 1); g.globalAlpha = 1;
    tag(label, w - g.measureText(label).width - 6 * ratio, at - 6.5 * ratio);
  }
  const every = seconds > 1.2 ? 0.5 : w / ratio > 600 ? 0.1 : 0.2;
  for (let t = every; t < seconds - 0.02; t += every) tag(`${Math.round(1000 * t)}`, t / seconds * w - 8 * ratio, h - 14 * ratio);
}

// Where the training sounds are on a slider; in colour: those of the kind that the present sound is of
export function drawRidge(canvas, values, kinds, kind, { low, high, flat, ink }) {
  const { g, w, h, ratio } = sizeCanvas(canvas), bins = 56, across = flat ? h : w, along = flat ? w : h, all = new Float64Array(bins), own = new Float64Array(bins);
  values.forEach((value, i) => {
    const b = Math.floor((value - low) / (high - low) * bins);
    if (b >= 0 && b < bins) { all[b]++; if (kinds[i] === kind) own[b]++; }
  });
  const point = (b, height) => { const p = (b + 0.5) / bins * along, s = Math.sqrt(height) * (across / 2 - 4 * ratio); return flat ? [p, across / 2 - s] : [across / 2 + s, along - p]; };
  const fill = (counts, colour, alpha) => {
    const smooth = counts.map((_, b) => [1, 4, 6, 4, 1].reduce((s, q, o) => s + q * (counts[b + o - 2] ?? 0), 0) / 16), top = Math.max(...smooth, 1);
    g.fillStyle = colour; g.globalAlpha = alpha; g.beginPath(); g.moveTo(...point(-0.5, 0));
    smooth.forEach((s, b) => g.lineTo(...point(b, s / top)));
    g.lineTo(...point(bins - 0.5, 0)); g.fill(); g.globalAlpha = 1;
  };
  fill(all, ink.ridge, 1);
  if (kind >= 0) fill(own, ink[`k${kind % 8}`], 0.55);
}

// The play head runs over copies of the pictures
export class PlayHead {
  constructor(session, canvases) { Object.assign(this, { session, canvases, copies: new Map(), running: false, calm: matchMedia("(prefers-reduced-motion: reduce)") }); }
  keep() {
    for (const canvas of this.canvases) {
      const copy = this.copies.get(canvas) ?? document.createElement("canvas");
      copy.width = canvas.width; copy.height = canvas.height;
      if (canvas.width && canvas.height) copy.getContext("2d").drawImage(canvas, 0, 0);
      this.copies.set(canvas, copy);
    }
  }
  run(colour) {
    if (this.running || this.calm.matches) return;
    this.running = true;
    const { voice, about: { config: { seconds } } } = this.session;
    const tick = () => {
      const t = voice.context.currentTime - voice.began - voice.latency / 2, live = t < seconds;
      for (const canvas of this.canvases) {
        const copy = this.copies.get(canvas), g = canvas.getContext("2d");
        if (!copy?.width) continue;
        g.setTransform(1, 0, 0, 1, 0, 0); g.clearRect(0, 0, canvas.width, canvas.height); g.drawImage(copy, 0, 0);
        if (live && t > 0) { g.fillStyle = colour(); g.fillRect(Math.round(t / seconds * canvas.width), 0, Math.min(2, devicePixelRatio || 1), canvas.height); }
      }
      if (live) requestAnimationFrame(tick); else this.running = false;
    };
    requestAnimationFrame(tick);
  }
}
