// The present sound and how it came about: decoding, history, and the steps that macros take. It knows no element of the page.
import { invert, solve } from "./arithmetic.js";
import { Voice } from "./audio.js";

const equal = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const peakOf = (wave) => wave.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

export class Session {
  constructor(backend) {
    const { about, data } = backend, { descriptors: names } = about;
    Object.assign(this, { backend, about, names, N: about.config.numbers, pitchDims: about.config.pitch_dims, K: names.length, rate: backend.rate, pitched: backend.pitched });
    this.vectors = data.vectors; this.kinds = data.kinds; this.values = data.descriptors; this.count = this.vectors.length / this.N;
    this.voice = new Voice(this.rate);
    // z: the whole vector, pitch, confidence and latent numbers; sound: the vector and the descriptors of what was decoded last
    this.now = { z: null, wave: null, sound: null, picture: null, octaves: null, fresh: 0, name: "" };
    this.past = []; this.place = -1; this.locked = new Map(); this.ghost = null; this.jacobian = null;
    this.stats = { decode: [], ready: [], dropped: 0, opened: 0 };
    this.listeners = {}; this.asked = 0; this.seen = 0; this.settling = 0; this.lastHit = 0; this.looping = 0;
    this.precision = this.inverseCovariance();
    this.macros = names.filter((name) => this.pitched || !["pitch", "bend", "noise"].includes(name));
    this.index = Object.fromEntries(names.map((name, i) => [name, i]));
  }

  on(event, listener) { (this.listeners[event] ??= []).push(listener); }
  tell(event, ...given) { for (const listener of this.listeners[event] ?? []) listener(...given); }

  vector(i) { return this.vectors.slice(this.N * i, this.N * i + this.N); }
  label(i) { return this.about.labels[this.kinds[i]] ?? ""; }
  get descriptors() { return this.now.sound?.descriptors; }
  // The standard deviation of a number of the vector: how far the sounds are spread, and how uncertain each is
  spread(k) { return Math.hypot(this.about.std[k], this.about.spread[k]); }

  inverseCovariance() {
    const { N, vectors, count, about } = this, C = Array.from({ length: N }, () => Array(N).fill(0));
    for (let i = 0; i < count; i++) for (let a = 0; a < N; a++) for (let b = 0; b <= a; b++) {
      C[a][b] += (vectors[N * i + a] - about.mean[a]) * (vectors[N * i + b] - about.mean[b]) / count;
    }
    for (let a = 0; a < N; a++) for (let b = a + 1; b < N; b++) C[a][b] = C[b][a];
    for (let a = 0; a < N; a++) C[a][a] += about.spread[a] ** 2 + 1e-4;
    return invert(C);
  }
  distance(d) { return Math.sqrt(d.reduce((sum, x, a) => sum + x * this.precision[a].reduce((s, p, b) => s + p * d[b], 0), 0)); }

  // -- decoding: the worker drops all but the newest, and a late answer never overwrites a newer one
  async decode(z, { play = "", event = 0, start = false } = {}) {
    z = this.backend.inRange(Float32Array.from(z));
    const mine = ++this.asked, { now, stats } = this, { z: latent, pitch, confidence } = this.backend.split(z);
    now.z = z;
    const early = ({ wave }) => {
      if (mine < this.seen) return;
      now.wave = this.level(wave);
      if (event) stats.ready.push(performance.now() - event);
      if (play) this.hit(play === "drag" ? 110 : 0);
    };
    let result;
    try { result = await this.backend.decode(latent, { pitch, confidence, fresh: now.fresh, newest: true, early }); } catch (error) { this.tell("trouble", error); return null; }
    if (result.dropped || mine < this.seen) { stats.dropped++; return null; }
    this.seen = mine; stats.decode.push(result.took);
    now.sound = { z: Float32Array.from(z), descriptors: result.descriptors };
    Object.assign(now, { wave: this.level(result.wave, result.descriptors.peak), picture: result.picture, octaves: result.octaves });
    if (start) this.origin = result.descriptors;
    this.tell("sound");
    return result;
  }

  // What is louder than 1 is made softer
  level(wave, peak = peakOf(wave)) { return peak > 1 ? wave.map((x) => x / peak) : wave; }

  hit(apart = 0) {
    const time = performance.now();
    if (!this.now.wave || time - this.lastHit < apart || (apart && this.looping)) return;
    this.lastHit = time;
    if (this.play(this.now.wave)) this.tell("play");
  }
  // Whether it could be played: an audio device may be gone
  play(wave, options) {
    try { this.voice.play(wave, options); return true; } catch (error) { this.tell("trouble", error); return false; }
  }

  loop(on) {
    clearInterval(this.looping);
    this.looping = on ? setInterval(() => this.hit(), 1000 * this.about.config.seconds) : 0;
    if (on) this.hit();
  }

  // -- going somewhere: a gesture that has ended is remembered
  async go(z, { name = "", play = "hit", commit = true, event = performance.now(), ghost = null } = {}) {
    Object.assign(this, { jacobian: null, ghost });
    z = this.backend.inRange(Float32Array.from(z));
    this.now.name = name; this.now.z = z; this.settling++;
    if (commit) this.remember(z, name);
    return this.decode(z, { play, event, start: commit });
  }
  remember(z = this.now.z, name = this.now.name) {
    if (this.past[this.place] && equal(this.past[this.place].z, z)) return;
    this.past.length = this.place + 1;
    this.past.push({ z: Float32Array.from(z), name });
    if (this.past.length > 200) this.past.shift();
    this.place = this.past.length - 1;
    this.tell("moved"); this.study();
  }
  async back(by) {
    if (this.past[this.place] && !equal(this.past[this.place].z, this.now.z)) this.remember(); // a gesture that has just ended
    if (!this.past[this.place + by]) return;
    this.place += by;
    const { z, name } = this.past[this.place];
    await this.go(z, { name, commit: false });
    this.tell("moved"); this.study();
  }

  // -- the Jacobian of the descriptors around the present sound, by the second worker
  measureJacobian(z) {
    return this.backend.jacobian(Float32Array.from(z), Array.from({ length: this.N }, (_, k) => 0.15 * this.spread(k)), this.now.fresh);
  }
  async study() {
    if (this.studying) return;
    this.studying = true;
    const z = Float32Array.from(this.now.z);
    try {
      const jacobian = await this.measureJacobian(z);
      if (equal(z, this.now.z)) { this.jacobian = jacobian; this.tell("studied"); }
    } catch { /* it is asked for again when it is needed */ }
    this.studying = false;
  }
  async studied() {
    for (let i = 0; i < 200 && !this.jacobian; i++) { this.study(); await pause(15); }
  }

  // samplevae.latents.macro_step: the smallest step after which the wanted descriptors are where they should be, and the
  // others, if possible, where the hand found them. The pitch and its confidence stay as they are.
  step(wanted, jacobian, from, keep = from, reach = 1.5) {
    const { N, K, names, about, locked, pitchDims } = this, A = this.precision.map((row) => [...row]), b = Array(N).fill(0);
    for (let j = 0; j < K; j++) {
      if (names[j] === "pitch") continue;
      const name = names[j], aim = name in wanted, weight = (aim || locked.has(name) ? 400 : 8) / about.descriptor_std[j] ** 2, delta = (aim ? wanted : keep)[name] - from[name];
      for (let a = 0; a < N; a++) {
        b[a] += weight * jacobian[j][a] * delta;
        for (let c = 0; c < N; c++) A[a][c] += weight * jacobian[j][a] * jacobian[j][c];
      }
    }
    const step = [...Array(pitchDims).fill(0), ...solve(A.slice(pitchDims).map((row) => row.slice(pitchDims)), b.slice(pitchDims))];
    const scale = Math.min(1, reach / (this.distance(step) || 1)); // no farther than so many standard deviations at once
    return step.map((x) => x * scale);
  }

  // How far descriptors are from where they are wanted: the largest miss, in standard deviations of the training sounds
  missed(wanted, descriptors) {
    return Math.max(0, ...Object.keys(wanted).map((name) => Math.abs(wanted[name] - descriptors[name]) / this.about.descriptor_std[this.index[name]]));
  }

  // Step until the sound is what was wanted: after a slider was let go, or chance was asked with locks
  // A step that leads away is halved: far from where it was measured, a Jacobian says little.
  async settle(wanted, rounds = 5, keep = this.descriptors) {
    const mine = ++this.settling;
    const off = () => this.missed(wanted, this.descriptors);
    for (let i = 0; i < rounds && off() > 0.03; i++) {
      this.jacobian = null;
      await this.studied();
      if (mine !== this.settling || !this.jacobian) return;
      const { z, descriptors } = this.now.sound, before = off(), d = this.step(wanted, this.jacobian, descriptors, keep, 2.5);
      for (let part = 1; part > 0.1; part /= 2) {
        if (!await this.decode(z.map((x, k) => x + part * d[k])) || mine !== this.settling) return;
        if (off() < before) break;
      }
      if (off() >= before) { await this.decode(z); break; }
    }
    this.tell("glide");
  }

  // What locks hold: the pitch (and its confidence) exactly, the others by steps
  get held() {
    const wanted = Object.fromEntries([...this.locked].filter(([name]) => name !== "pitch"));
    return { wanted, pitch: this.pitched && this.locked.has("pitch") };
  }
  withHeld(z) { return this.held.pitch ? this.backend.withPitch(z, this.now.z) : z; }
  async land(z, { name = "", event = performance.now(), rounds = 2 } = {}) {
    const { wanted } = this.held;
    z = this.withHeld(Float32Array.from(z));
    this.tell("glide");
    if (!Object.keys(wanted).length) return this.go(z, { name, event });
    await this.go(z, { name, play: "", commit: false, event });
    await this.settle(wanted, rounds);
    this.hit(); this.remember(this.now.z, name);
  }

  // Macros in hand, one by a slider or two by the pad: from where, by which Jacobian, and where they are wanted. While they
  // are held, the Jacobian is measured anew where the sound has come to.
  grab(names) {
    const hand = { names, ...this.now.sound, keep: this.descriptors, wanted: {}, jacobian: this.jacobian && equal(this.now.z, this.now.sound.z) ? this.jacobian : null };
    this.hand = hand; this.settling++;
    this.follow(hand);
  }
  aim(wanted, event) {
    Object.assign(this.hand, { wanted, event });
    this.pull(this.hand);
  }
  pull(hand) {
    if (!hand.jacobian) return;
    const d = this.step(hand.wanted, hand.jacobian, hand.descriptors, hand.keep);
    this.jacobian = null;
    this.decode(hand.z.map((x, k) => x + d[k]), { play: "drag", event: hand.event });
    hand.event = 0; // it has been answered; what follows is refinement
  }
  async follow(hand) {
    while (this.hand === hand) {
      const at = hand.jacobian ? this.now.sound : hand;
      if (hand.jacobian && (equal(at.z, hand.z) || this.missed(hand.wanted, at.descriptors) < 0.03)) { await pause(40); continue; }
      const began = performance.now();
      let jacobian;
      try { jacobian = await this.measureJacobian(at.z); } catch (error) { this.tell("trouble", error); return; }
      if (this.hand !== hand) return;
      Object.assign(hand, { z: at.z, descriptors: at.descriptors, jacobian });
      this.pull(hand);
      await pause(3 * (performance.now() - began)); // a quarter of the time: the decoder has cores to share
    }
  }
  async release() {
    const hand = this.hand;
    this.hand = null;
    if (hand) { await this.settle(hand.wanted, 5, hand.keep); this.hit(110); }
    for (const name of hand?.names ?? []) if (this.locked.has(name)) this.locked.set(name, this.descriptors[name]);
    this.remember();
  }

  // The labels among the fifteen nearest training sounds -> [[share, label], ...], largest first, and the distance of the nearest
  among(z) {
    const { N, vectors, about, count } = this, best = [];
    for (let i = 0; i < count; i++) {
      let d = 0;
      for (let k = 0; k < N; k++) d += ((vectors[N * i + k] - z[k]) / about.std[k]) ** 2;
      if (best.length < 15 || d < best[14][0]) { best.push([d, i]); best.sort((a, b) => a[0] - b[0]); best.length = Math.min(15, best.length); }
    }
    const votes = Array(about.labels.length).fill(0);
    for (const [d, i] of best) if (this.kinds[i] < votes.length) votes[this.kinds[i]] += 1 / (1 + d);
    const sum = votes.reduce((a, b) => a + b, 0) || 1;
    return { ranked: votes.map((v, l) => [v / sum, l]).sort((a, b) => b[0] - a[0]), distance: Math.sqrt(best[0][0] / N), nearest: best[0][1] };
  }
}
