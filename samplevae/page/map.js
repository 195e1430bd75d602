// Two planes: a map of the training sounds to click in and drag through, and a pad over two chosen directions.
import { clamp, solve } from "./arithmetic.js";
import { FONT, sizeCanvas } from "./pictures.js";
import { MOVE } from "./sliders.js";
import { hertz, MACROS } from "./words.js";

const place = (canvas, e) => { const r = canvas.getBoundingClientRect(); return [e.clientX - r.x, e.clientY - r.y, r.width, r.height]; };

export class SoundMap {
  constructor(ui) {
    const { session, $ } = ui, { about, N, count } = session;
    Object.assign(this, { ui, session, canvas: $("map"), tip: $("tip"), axes: about.axes.slice(0, 2) });
    if (this.axes.length < 2) this.axes.push(Array(N).fill(0));
    this.dots = Array.from({ length: count }, (_, i) => this.plane(session.vector(i)));
    this.span = [0, 1].map((c) => { const sorted = this.dots.map((d) => d[c]).sort((a, b) => a - b); const low = sorted[Math.floor(0.002 * count)], high = sorted[Math.floor(0.998 * (count - 1))]; return [low, high > low ? high : low + 1]; });
    ui.onDraw(() => this.draw());
    this.listen();
  }
  // A vector -> where it is in the plane in which the training sounds differ most
  plane(z) { const { about } = this.session; return this.axes.map((axis) => axis.reduce((sum, q, k) => sum + q * (z[k] - about.mean[k]) / about.std[k], 0)); }
  pixel(p, w, h) {
    const [x, y] = p.map((value, c) => clamp(0.06 + 0.88 * (value - this.span[c][0]) / (this.span[c][1] - this.span[c][0]), 0.03, 0.97));
    return [x * w, (1 - y) * h];
  }
  nearest(x, y, w, h, reach) {
    let best = -1, least = reach * reach;
    this.dots.forEach((dot, i) => { const [a, b] = this.pixel(dot, w, h), d = (a - x) ** 2 + (b - y) ** 2; if (d < least) { least = d; best = i; } });
    return best;
  }
  // Move within the plane, by parts of its width and height: the smallest change of the vector that does it
  drift(dx, dy, event, from = this.session.now.z) {
    const { session, axes, span } = this, S = axes.map((a, i) => axes.map((b, j) => a.reduce((sum, x, k) => sum + x * b[k], i === j ? 1e-9 : 0)));
    const [p, q] = solve(S, [dx * (span[0][1] - span[0][0]), dy * (span[1][1] - span[1][0])]), held = session.held.pitch;
    const z = Float32Array.from(from, (x, k) => k < session.pitchDims && held ? x : x + (axes[0][k] * p + axes[1][k] * q) * session.about.std[k]);
    session.jacobian = null;
    session.decode(z, { play: "drag", event });
  }

  draw() {
    const { session, ui: { ink }, canvas } = this, { now, past, place: at } = session, { g, w, h, ratio } = sizeCanvas(canvas);
    if (this.cloud?.width !== w || this.cloud.height !== h || this.cloudInk !== ink) this.drawCloud(w, h, ratio);
    g.drawImage(this.cloud, 0, 0);
    if (!now.z) return;
    const pixel = (z) => this.pixel(this.plane(z), w, h);
    g.lineWidth = 1.5 * ratio; g.strokeStyle = ink.ink;
    for (let i = Math.max(1, at - 5); i <= at; i++) { // where it came from
      g.globalAlpha = 0.6 * (1 - (at - i) / 6) ** 2;
      g.beginPath(); g.moveTo(...pixel(past[i - 1].z)); g.lineTo(...pixel(past[i].z)); g.stroke();
    }
    g.globalAlpha = 1; g.font = `600 ${11 * ratio}px ${FONT}`; g.textAlign = "center"; g.textBaseline = "middle";
    const tag = (z, text, strong) => {
      const [x, y] = pixel(z), s = 14 * ratio;
      g.fillStyle = strong ? ink.ink : ink.plate; g.strokeStyle = ink.ink; g.beginPath(); g.rect(Math.round(x - s / 2) + 0.5, Math.round(y - s / 2) + 0.5, s, s); g.fill(); g.stroke();
      g.fillStyle = strong ? ink.plate : ink.ink; g.fillText(text, x, y + 0.5 * ratio);
    };
    this.ui.kept.forEach((kept, i) => tag(kept.z, i + 1));
    for (const side of ["A", "B"]) if (this.ui.two[side]) tag(this.ui.two[side].z, side, true);
    const [x, y] = pixel(now.z);
    for (const [colour, wide] of [[ink.plate, 5], [ink.red, 2.5]]) { g.strokeStyle = colour; g.lineWidth = wide * ratio; g.beginPath(); g.arc(x, y, 8 * ratio, 0, 7); g.stroke(); }
  }
  drawCloud(w, h, ratio) {
    const { session, ui: { ink } } = this, { count, kinds, about: { labels } } = session;
    this.cloud = document.createElement("canvas"); this.cloud.width = w; this.cloud.height = h; this.cloudInk = ink;
    const c = this.cloud.getContext("2d");
    c.globalAlpha = 0.6;
    for (let n = 0; n < count; n++) {
      const i = (n * 7919) % count, [x, y] = this.pixel(this.dots[i], w, h);
      c.fillStyle = kinds[i] < labels.length ? ink[`k${kinds[i] % 8}`] : ink.faint;
      c.beginPath(); c.arc(x, y, 1.5 * ratio, 0, 7); c.fill();
    }
  }

  listen() {
    const { canvas, session, tip } = this;
    let grip = null;
    const take = (i, event) => { // dragged over a training sound
      const z = session.withHeld(session.vector(i));
      session.now.name = session.label(i); session.jacobian = null;
      session.decode(z, { play: "drag", event });
    };
    canvas.addEventListener("pointerdown", (e) => {
      if (e.button) return;
      canvas.setPointerCapture(e.pointerId);
      const [x, y, w, h] = place(canvas, e), [cx, cy] = this.pixel(this.plane(session.now.z), w, h);
      if (Math.hypot(x - cx, y - cy) < 14) { grip = { ring: true, x, y, z: Float32Array.from(session.now.z) }; return; }
      const i = this.nearest(x, y, w, h, 40);
      grip = { i };
      if (i >= 0) session.land(session.vector(i), { name: session.label(i), event: e.timeStamp });
    });
    canvas.addEventListener(MOVE, (e) => {
      const [x, y, w, h] = place(canvas, e);
      if (grip?.ring) { grip.moved = true; this.drift((x - grip.x) / w / 0.88, (grip.y - y) / h / 0.88, e.timeStamp, grip.z); return; }
      const i = this.nearest(x, y, w, h, grip ? 40 : 12);
      if (grip && i >= 0 && i !== grip.i) { Object.assign(grip, { i, moved: true }); take(i, e.timeStamp); }
      tip.hidden = i < 0 || !session.about.labels.length;
      if (i < 0) return;
      const { pitch, confidence } = session.backend.split(session.vector(i));
      tip.textContent = `${session.label(i)} ${confidence > 0 ? hertz(pitch) : ""}`; // noise has no pitch
      tip.style.left = `${Math.min(x, w - 110)}px`; tip.style.top = `${Math.max(y, 26)}px`;
    });
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => { if (grip?.moved) session.remember(); grip = null; });
    canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
    canvas.addEventListener("keydown", (e) => {
      if (e.key !== "Enter") return;
      const i = this.nearest(...this.pixel(this.plane(session.now.z), 1000, 1000), 1000, 1000, 1e4);
      if (i >= 0) session.land(session.vector(i), { name: session.label(i) });
    });
  }
}

// The pad: two macros at once, whose values are where the finger is
export function addPad(ui) {
  const { session, $ } = ui, canvas = $("pad"), chosen = [$("padx"), $("pady")];
  const names = session.macros.filter((name) => name !== "pitch");
  chosen.forEach((select, c) => {
    for (const name of names) select.append(new Option(MACROS[name][0], name));
    select.value = ["brightness", "decay"][c]; select.onchange = () => ui.draw();
  });
  const range = (c) => ui.faders[chosen[c].value], share = (c) => clamp((session.descriptors[chosen[c].value] - range(c).low) / (range(c).high - range(c).low), 0, 1);
  let finger = null;
  const aim = (e) => {
    const [x, y, w, h] = place(canvas, e);
    finger = [clamp(x / w, 0, 1), clamp(1 - y / h, 0, 1)];
    session.aim(Object.fromEntries(chosen.map(({ value }, c) => [value, range(c).low + finger[c] * (range(c).high - range(c).low)])), e.timeStamp);
  };
  canvas.addEventListener("pointerdown", (e) => {
    if (e.button) return;
    canvas.setPointerCapture(e.pointerId);
    session.grab(chosen.map(({ value }) => value)); aim(e);
  });
  canvas.addEventListener(MOVE, (e) => { if (finger) aim(e); });
  for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => { if (finger) { finger = null; session.release(); } });
  ui.onDraw(() => {
    const { g, w, h, ratio } = sizeCanvas(canvas), { ink } = ui;
    const columns = [0, 1].map((c) => range(c).column);
    g.fillStyle = ink.ridge;
    for (let i = 0; i < session.count; i++) {
      const [x, y] = [0, 1].map((c) => (columns[c][i] - range(c).low) / (range(c).high - range(c).low));
      g.fillRect(x * w, (1 - y) * h, 1.5 * ratio, 1.5 * ratio);
    }
        g.strokeStyle = ink.red; g.lineWidth = 2.5 * ratio; g.beginPath(); g.arc(share(0) * w, (1 - share(1)) * h, 8 * ratio, 0, 7); g.stroke();
    if (!finger) return;
    const [x, y] = finger;
    g.strokeStyle = ink.ink; g.lineWidth = ratio; g.beginPath(); g.moveTo(x * w - 6 * ratio, (1 - y) * h); g.lineTo(x * w + 6 * ratio, (1 - y) * h); g.moveTo(x * w, (1 - y) * h - 6 * ratio); g.lineTo(x * w, (1 - y) * h + 6 * ratio); g.stroke();
  });
}
