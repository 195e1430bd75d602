// Sounds of a listening test: decoded when they are needed, one at a time, faded where they are cut.

export class Player {
  constructor(sounds) { this.sounds = sounds; this.decoded = new Map(); this.finished = () => {}; }

  get ready() {
    this.context ??= new AudioContext({ latencyHint: "interactive" });
    if (this.context.state === "suspended") this.context.resume();
    return this.context;
  }

  buffer(key) { // a promise; what is asked for again is there
    if (!this.decoded.has(key)) {
      const bytes = Uint8Array.from(atob(this.sounds[key]), (letter) => letter.charCodeAt(0));
      this.decoded.set(key, this.ready.decodeAudioData(bytes.buffer));
    }
    return this.decoded.get(key);
  }

  stop() {
    this.turn = (this.turn ?? 0) + 1;
    if (!this.source) return;
    const now = this.context.currentTime;
    this.gain.gain.setValueAtTime(1, now);
    this.gain.gain.linearRampToValueAtTime(0, now + 0.006);
    this.source.onended = null;
    this.source.stop(now + 0.01);
    this.source = null;
    this.finished();
  }

  async play(key, finished = () => {}) { // whether it began: while it was decoded, another may have been asked for
    this.stop();
    const turn = this.turn, buffer = await this.buffer(key);
    if (turn !== this.turn) return false;
    this.start(buffer, finished);
    return true;
  }

  start(buffer, finished = () => {}) {
    const source = this.ready.createBufferSource(), gain = this.context.createGain();
    source.buffer = buffer;
    source.connect(gain).connect(this.context.destination);
    this.finished = finished;
    source.onended = () => { if (this.source === source) { this.source = null; finished(); } };
    source.start();
    [this.source, this.gain] = [source, gain];
  }
}

// Three tones of 200 Hz: one softer, one with its channels in opposite phase. Over loudspeakers the last cancels itself, and is
// taken for the softest; with headphones it is as loud as the first (Woods, Siegel, Traer, McDermott 2017).
export function headphoneTones(context, order) { // order: of "plain", "soft", "opposite" -> buffer of two channels
  const rate = context.sampleRate, one = Math.round(0.8 * rate), pause = Math.round(0.35 * rate);
  const buffer = context.createBuffer(2, 3 * one + 2 * pause, rate);
  order.forEach((kind, k) => {
    for (let channel = 0; channel < 2; channel++) {
      const wave = buffer.getChannelData(channel), level = 0.25 * (kind === "soft" ? 0.5 : 1) * (kind === "opposite" && channel ? -1 : 1);
      for (let i = 0; i < one; i++) {
        const ramp = Math.min(1, i / (0.05 * rate), (one - i) / (0.05 * rate));
        wave[k * (one + pause) + i] = level * ramp * Math.sin(2 * Math.PI * 200 * i / rate);
      }
    }
  });
  return buffer;
}
