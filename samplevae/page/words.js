// How values are said: in Hz, ms and dB, and in a sentence.
import { clamp } from "./arithmetic.js";

const NOTES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
export const noteOfOctaves = (octaves) => 69 + 12 * (octaves - Math.log2(440)); // MIDI, with a fraction
export const octavesOfNote = (note) => Math.log2(440) + (note - 69) / 12;
export const noteName = (note) => `${NOTES[((Math.round(note) % 12) + 12) % 12]}${Math.floor(Math.round(note) / 12) - 1}`;
const inTune = (note) => { // and how many cents it is off, where one would hear it
  const cents = Math.round(100 * (note - Math.round(note)));
  return noteName(note) + (Math.abs(cents) < 5 ? "" : ` ${cents > 0 ? "+" : "−"}${Math.abs(cents)} cents`);
};

export const hertz = (octaves) => {
  const f = 2 ** octaves;
  return f < 1000 ? `${f.toFixed(f < 100 ? 1 : 0)} Hz` : `${(f / 1000).toFixed(f < 1e4 ? 2 : 1)} kHz`;
};
const signed = (x, digits, unit) => {
  const least = 0.5 * 10 ** -digits;
  return `${x < -least ? "−" : x < least ? "" : "+"}${Math.abs(x).toFixed(digits)}${unit}`;
};
const decibel = (x) => signed(x, 0, " dB").replace("+", "");
const milliseconds = (x) => `${(2 ** x).toFixed(0)} ms`;
export const noiseShare = (x) => 1 / (1 + 10 ** (-x / 10)); // of the energy
const percent = (share) => `${(100 * share).toFixed(0)} %`;

// Descriptor: its name, its group (Tone, Colour, Shape), and how a value is said
export const MACROS = {
  pitch: ["Pitch", 0, (x) => `${hertz(x)} ${noteName(noteOfOctaves(x))}`], bend: ["Bend", 0, (x) => signed(x, 2, " oct")], noise: ["Noise", 0, (x) => percent(noiseShare(x))],
  body: ["Body", 1, decibel], brightness: ["Bright", 1, hertz], air: ["Air", 1, decibel], damping: ["Damping", 1, (x) => signed(x, 1, " oct")],
  click: ["Click", 2, decibel], punch: ["Punch", 2, (x) => percent(Math.min(1, 10 ** (x / 10)))], decay: ["Decay", 2, milliseconds], loudness: ["Loudness", 2, decibel],
};

const article = (word) => (/^[aeiou]/.test(word) ? "an " : "a ") + word;

// What a sound is, for the eye and for a screen reader. ranked: [[share, label], ...]; distance: to the nearest training sound
export function sentence(d, { labels, ranked, distance, pitched }) {
  let lead = "a sound";
  if (labels.length && ranked[0]?.[0] > 0) {
    const [[first, a], second] = ranked;
    lead = first > 0.75 || !second?.[0] ? article(labels[a]) : `between ${article(labels[a])} and ${article(labels[second[1]])}`;
    if (distance > 0.9) lead = `far out, nearest to ${article(labels[a])}`;
  }
  const share = noiseShare(d.noise), parts = [];
  if (pitched) {
    const tone = share < 0.35 ? "a tone" : share < 0.7 ? "a tone with noise" : "noise with some tone";
    parts.push(share < 0.94 ? `${tone} at ${hertz(d.pitch)} (${inTune(noteOfOctaves(d.pitch))})` : "all noise");
  }
  parts.push(`bright at ${hertz(d.brightness)}`, `gone in ${milliseconds(d.decay)}`);
  const known = distance < 0.002 ? " It is a training sound, as the model knows it." : "";
  return `${lead[0].toUpperCase()}${lead.slice(1)}: ${parts.join(", ")}.${known}`;
}

// What a kept sound is called
export function titleOf(d, label, pitched) {
  return `${label ?? "sound"} ${pitched && noiseShare(d.noise) < 0.9 ? `${Math.round(2 ** d.pitch)} Hz` : milliseconds(clamp(d.decay, 0, 20))}`;
}
