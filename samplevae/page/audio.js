// Playing: nothing sounds, and no audio context is made, before the first gesture.

export class Voice {
  constructor(rate) { this.rate = rate; this.starts = []; this.rung = -1; }

  get ready() {
    if (!this.context) {
      this.context = new AudioContext({ sampleRate: this.rate, latencyHint: "interactive" });
      this.out = this.context.createGain();
      this.out.connect(this.context.destination);
    }
    if (this.context.state === "suspended") this.context.resume();
    return this.context;
  }

  // choke: what sounds by the last call with choke falls silent within 6 ms, without a click
  play(wave, { gain = 1, choke = true, when = 0, speed = 1 } = {}) {
    const context = this.ready, buffer = context.createBuffer(1, wave.length, this.rate), source = context.createBufferSource(), volume = context.createGain();
    buffer.copyToChannel(wave, 0);
    const now = context.currentTime;
    if (choke && this.last) {
      this.last.gain.setValueAtTime(this.last.gain.value, now);
      this.last.gain.linearRampToValueAtTime(0, now + 0.006);
    }
    volume.gain.value = gain; source.buffer = buffer; source.playbackRate.value = speed;
    source.connect(volume).connect(this.out);
    source.start(when);
    if (choke) { this.last = volume; this.began = now; }
    this.starts.push(performance.now()); if (this.starts.length > 500) this.starts.shift();
  }

  get latency() { return this.context ? (this.context.baseLatency || 0) + (this.context.outputLatency || 0) : 0; } // s
  close() { this.context?.close(); }
}
