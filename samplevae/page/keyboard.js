// Notes: a piano to click, letters to type, MIDI; and MIDI learn for sliders and buttons.
import { clamp } from "./arithmetic.js";
import { fromStorage, toStorage } from "./storage.js";
import { noteName, octavesOfNote } from "./words.js";

const LETTERS = Object.fromEntries([..."zsxdcvgbhnjm"].map((c, i) => [c, i]).concat([..."q2w3er5t6y7ui"].map((c, i) => [c, i + 12])));
const LETTER_OF = Object.fromEntries(Object.entries(LETTERS).map(([letter, n]) => [n, letter]));

export function addKeyboard(ui) {
  const { session, $ } = ui, { backend } = session;
  ui.octave = 2; ui.typing = ui.tuning = false;

  // Every key is a decoding, since the pitch is an input of the decoder, and its confidence stays; softer is duller, not only
  // softer. Without a pitch, a key plays the sound faster or slower.
  ui.note = async (n, velocity = 0.8) => {
    if (!session.descriptors) return;
    if (ui.tuning && session.pitched) return ui.tune(n);
    const gain = velocity ** 1.5 / 0.72, key = ui.root.querySelector(`[data-note="${n}"]`);
    key?.classList.add("down"); setTimeout(() => key?.classList.remove("down"), 160);
    if (!session.pitched) return session.play(session.now.wave, { gain, choke: false, speed: 2 ** ((n - 60) / 12) });
    const began = performance.now(), soft = 0.8 - velocity, { z, sound } = session.now, d = session.jacobian && Math.abs(soft) > 0.02
      ? session.step({ brightness: sound.descriptors.brightness - 0.8 * soft }, session.jacobian, sound.descriptors) : null;
    const vector = Float32Array.from(z, (x, k) => x + (d ? d[k] : 0));
    const [wave] = await backend.waves([backend.join({ ...backend.split(vector), pitch: octavesOfNote(n) })], session.now.fresh);
    session.play(session.level(wave), { gain, choke: false });
    (session.stats.notes ??= []).push(performance.now() - began);
  };

  // The present sound itself at a note, not only played there
  ui.tune = (n) => { const z = Float32Array.from(session.now.z); z[0] = (octavesOfNote(n) - 8) / 2; session.go(z); };

  function showPiano() {
    const box = $("piano"), from = 12 * (ui.octave + 1), octaves = box.clientWidth > 1000 ? 4 : box.clientWidth > 500 ? 3 : 2;
    $("octave").textContent = `C${ui.octave}`;
    box.replaceChildren(); box.style.setProperty("--whites", 7 * octaves + 1);
    showPiano.octaves = octaves;
    let whites = 0;
    for (let n = from; n <= from + 12 * octaves; n++) {
      const black = [1, 3, 6, 8, 10].includes(n % 12), key = document.createElement("button"), letter = ui.typing ? LETTER_OF[n - from] : "";
      key.className = black ? "black" : "white"; key.dataset.note = n; key.tabIndex = n === from ? 0 : -1; key.setAttribute("aria-label", noteName(n));
      key.innerHTML = `<kbd>${letter ?? ""}</kbd>${black ? "" : n % 12 ? noteName(n)[0] : noteName(n)}`;
      if (black) key.style.left = `calc(100% / ${7 * octaves + 1} * ${whites})`; else whites++;
      key.addEventListener("pointerdown", (e) => {
        e.preventDefault();
        const r = key.getBoundingClientRect(); ui.note(n, clamp(0.35 + 0.65 * (e.clientY - r.y) / r.height, 0.3, 1));
      });
      key.addEventListener("keydown", (e) => {
        const next = box.querySelector(`[data-note="${n + ({ ArrowRight: 1, ArrowLeft: -1 }[e.key] ?? 99)}"]`);
        if (next) { key.tabIndex = -1; next.tabIndex = 0; next.focus(); } else if (e.key === "Enter" || e.key === " ") ui.note(n); else return;
        e.preventDefault(); e.stopPropagation();
      });
      box.append(key);
    }
  }
  ui.fitPiano = () => { const w = $("piano").clientWidth; if ((w > 1000 ? 4 : w > 500 ? 3 : 2) !== showPiano.octaves) showPiano(); };
  const shift = (by) => { ui.octave = clamp(ui.octave + by, 0, 7); showPiano(); };
  Object.assign(ui.acts, { octdown: () => shift(-1), octup: () => shift(1), tuning() { ui.tuning = !ui.tuning; ui.button("tuning").setAttribute("aria-pressed", ui.tuning); if (ui.tuning) ui.say("A key now sets the pitch of this sound. Tune again: keys only play it."); }, typing() { ui.typing = !ui.typing; ui.button("typing").setAttribute("aria-pressed", ui.typing); showPiano(); } });
  // A letter that was typed as a note -> whether it was one
  ui.typed = (e) => {
    const n = ui.typing ? LETTERS[e.key.toLowerCase()] : undefined;
    if (n === undefined) return false;
    if (!e.repeat) ui.note(12 * (ui.octave + 1) + n);
    return true;
  };
  ui.button("tuning").hidden = !session.pitched;
  showPiano();
}

// MIDI: notes play; with Learn, a control or a pad of the device is bound to the slider or button that is touched
export function addMidi(ui) {
  const { session } = ui, targets = new Map(), button = ui.button("midi"), learnButton = ui.button("learn");
  const bound = fromStorage("midi", {});
  let learning = false, target = null;
  ui.learn = (element, label, set) => {
    targets.set(label, set);
    element.addEventListener("pointerdown", () => { if (learning) choose(label); }, true);
    element.addEventListener("focus", () => { if (learning) choose(label); });
  };
  const choose = (label) => { target = label; ui.say(`Now move a control of your MIDI device, for: ${label}.`); };
  ui.acts.learn = async () => {
    if (!button.classList.contains("on")) await ui.acts.midi();
    learning = !learning; target = null; learnButton.setAttribute("aria-pressed", learning);
    ui.say(learning ? "Touch a slider, the dice, Undo or Keep; then move a control of your device." : "Learned what was shown.");
  };
  for (const act of ["dice", "undo", "keep"]) for (const element of ui.root.querySelectorAll(`[data-do="${act}"]`)) {
    ui.learn(element, `button ${act}`, (share) => { if (share > 0) ui.acts[act](); });
  }
  ui.learning = () => learning;

  function receive([status, a, b]) {
    const kind = status & 0xf0, source = `${kind === 0xb0 ? "control" : "note"} ${a} ${status & 15}`;
    if (kind !== 0xb0 && kind !== 0x90) return;
    if (learning && target && (kind === 0xb0 || b)) {
      bound[source] = target; ui.say(`${source.split(" ").slice(0, 2).join(" ")} now moves: ${target}.`); target = null;
      toStorage("midi", bound);
    } else if (bound[source] && targets.has(bound[source])) targets.get(bound[source])(b / 127);
    else if (kind === 0x90 && b) (status & 15) === 9 ? ui.recall(a - 36) : ui.note(a, b / 127);
  }
  ui.acts.midi = async () => {
    try {
      const access = await navigator.requestMIDIAccess();
      const listen = () => access.inputs.forEach((input) => { input.onmidimessage = ({ data }) => receive(data); });
      listen(); access.onstatechange = listen;
      button.classList.add("on"); button.setAttribute("aria-pressed", "true");
      ui.say([...access.inputs.values()].map((input) => input.name).join(", ") || "MIDI is on, and no device is there yet.");
    } catch { ui.say("This browser gives no MIDI (Chrome, Edge and Firefox do, and ask first)."); button.disabled = true; }
  };
}
