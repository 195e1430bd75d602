// The instrument: `mount` fills an element that holds page.html, in a page of its own or in the shadow of a notebook's output.
import { addChance, addLabels, addMorph } from "./chance.js";
import { addKeyboard, addMidi } from "./keyboard.js";
import { addPad, SoundMap } from "./map.js";
import { addPattern } from "./pattern.js";
import { drawSpectrogram, drawWave, PlayHead, readColours } from "./pictures.js";
import { Session } from "./session.js";
import { addMacros, addNumbers } from "./sliders.js";
import { fromStorage, toStorage } from "./storage.js";
import { addTray } from "./tray.js";
import { noiseShare, sentence } from "./words.js";

const KEYS = { " ": "play", k: "keep", d: "dice", z: "undo", Z: "redo", l: "loop", p: "typing", n: "noise", s: "save", i: "open", o: "original", "?": "help", "[": "setA", "]": "setB" };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

// keysOn: where keys are listened to; hash: the vector stands in the address; began: when the page was asked for
export function mount(root, backend, { keysOn = root, hash = false, began = 0, onVector = () => {} } = {}) {
  const session = new Session(backend), $ = (name) => root.querySelector(`[data-el="${name}"]`), inst = $("inst"), drawers = [], enablers = [], listeners = {};
  const ui = {
    root, session, $, inst, acts: {}, dispose: [], ink: {}, narrow: false, kept: [], two: { A: null, B: null },
    onDraw: (drawer) => drawers.push(drawer), onButtons: (enabler) => enablers.push(enabler),
    button: (name) => root.querySelector(`[data-do="${name}"]`), buttons: () => enablers.forEach((enable) => enable()),
    say(text) { $("message").textContent = text; clearTimeout(ui.saying); ui.saying = setTimeout(() => { $("message").textContent = ""; }, 12000); },
    on: (event, listener) => (listeners[event] ??= []).push(listener), tell: (event) => (listeners[event] ?? []).forEach((listener) => listener()),
  };
  const { acts } = ui, { config } = backend.about, head = new PlayHead(session, [$("wave"), $("gram")]);

  // -- painting, once a frame
  let pending = false, painted = 0;
  ui.draw = () => {
    if (pending || !session.now.picture) return;
    pending = true;
    const soon = Math.max(0, painted + 40 - performance.now()); // the sound comes first
    setTimeout(() => requestAnimationFrame(() => {
      pending = false; painted = performance.now();
      const { now, descriptors: d } = session, near = session.among(now.z), kind = near.ranked[0]?.[0] > 0.5 ? near.ranked[0][1] : -1;
      drawWave($("wave"), now.wave, { colour: ui.ink.ink, under: session.ghost, underColour: ui.ink.ridge, grid: config.seconds, gridColour: ui.ink.hair });
      const until = Math.min(1, (2 ** d.decay / 1000 + 0.03) / config.seconds);
      drawSpectrogram($("gram"), now.picture, { ink: ui.ink, rate: session.rate, length: backend.length, hop: config.hop_length, until, pitch: session.pitched && noiseShare(d.noise) < 0.86 ? now.octaves : null });
      head.keep();
      const text = sentence(d, { ...near, labels: backend.about.labels, pitched: session.pitched });
      if ($("sentence").textContent !== text) $("sentence").textContent = text;
      $("wave").setAttribute("aria-label", `Waveform. ${text}`); $("gram").setAttribute("aria-label", `Spectrogram. ${text}`);
      for (const drawer of drawers) drawer(kind, near);
      const speeds = session.stats.decode.slice(-60).sort((a, b) => a - b);
      $("speed").textContent = `${config.seconds} s of sound decoded in ${speeds[speeds.length >> 1].toFixed(1)} ms`;
    }), soon);
  };

  // -- what the session tells
  let gliding = 0;
  session.on("sound", () => { session.stats.opened ||= performance.now() - began; ui.draw(); });
  session.on("play", () => head.run(() => ui.ink.red));
  session.on("trouble", (error) => ui.say(`That did not work: ${error.message ?? error}.`));
  session.on("glide", () => { inst.classList.add("glide"); clearTimeout(gliding); gliding = setTimeout(() => inst.classList.remove("glide"), 200); ui.draw(); });
  session.on("moved", () => {
    ui.buttons(); ui.draw(); onVector(session.now.z);
    if (hash) try { history.replaceState(null, "", `#${btoa(String.fromCharCode(...new Uint8Array(Float32Array.from(session.now.z).buffer))).replaceAll("+", "-").replaceAll("/", "_")}`); } catch { /* a page that may not */ }
  });
  ui.onButtons(() => {
    for (const button of root.querySelectorAll('[data-do="undo"]')) button.disabled = session.place <= 0;
    ui.button("redo").disabled = session.place >= session.past.length - 1;
    ui.button("original").hidden = !session.ghost; ui.button("open").hidden = !backend.encodes;
  });

  // -- buttons and keys
  Object.assign(acts, {
    play: () => session.hit(), undo() { const back = ui.takeBack; ui.takeBack = null; if (!back?.()) session.back(-1); }, redo: () => session.back(1),
    loop() { session.loop(!session.looping); ui.button("loop").setAttribute("aria-pressed", !!session.looping); },
    help: () => $("help").showModal(), open: () => $("file").click(), original: () => { if (session.ghost) session.play(session.ghost); },
    copy() { navigator.clipboard?.writeText(`[${[...session.now.z].map((x) => x.toFixed(5)).join(", ")}]`).then(() => ui.say("Copied."), () => ui.say("This browser does not let the page copy.")); },
    theme: () => setTheme(dark() ? "light" : "dark"),
  });
  const dark = () => inst.classList.contains("dark") || (!inst.classList.contains("light") && matchMedia("(prefers-color-scheme: dark)").matches);
  function setTheme(name, lasting = true) {
    if (name) { inst.classList.remove("dark", "light"); inst.classList.add(name); if (hash) document.documentElement.style.colorScheme = name; }
    ui.ink = readColours(inst); ui.button("theme").textContent = dark() ? "Light" : "Dark";
    if (lasting && name) toStorage("theme", name);
    ui.draw();
  }
  inst.addEventListener("click", (e) => { const act = e.target.closest("[data-do]")?.dataset.do; if (act && !(ui.learning() && ["dice", "undo", "keep"].includes(act))) acts[act](e); });
  for (const canvas of [$("wave"), $("gram")]) canvas.onclick = () => session.hit();
  let drifting = 0;
  keysOn.addEventListener("keydown", (e) => {
    const on = e.composedPath()[0], key = e.key;
    if (e.ctrlKey || e.metaKey || e.altKey || $("help").open || /^(input|textarea|select)$/i.test(on.tagName ?? "")) return; // no key is taken from a text field
    if (ui.typed(e)) return stop(e);
    if ((key === " " || key === "Enter") && /^(button|summary)$/i.test(on.tagName ?? "")) return; // its own
    if (ARROWS[key]) {
      if (on.getAttribute?.("role") === "slider") return;
      const by = e.shiftKey ? 0.004 : 0.02;
      ui.map.drift(ARROWS[key][0] * by, ARROWS[key][1] * by, e.timeStamp);
      clearTimeout(drifting); drifting = setTimeout(() => session.remember(), 350);
    } else if (key === "Escape" && ui.typing) acts.typing();
    else if (key === "x") ui.goTo(ui.two.t < 0.5 ? "B" : "A");
    else if (key === "v" || key === "V") { ui.variation = Math.min(1, Math.max(0.02, ui.variation * (key === "v" ? 0.8 : 1.25))); ui.shown(); }
    else if (/^[1-9]$/.test(key)) ui.recall(key - 1, e.timeStamp);
    else if (KEYS[key]) acts[KEYS[key]](e);
    else return;
    stop(e);
  });
  const stop = (e) => { e.preventDefault(); e.stopPropagation(); };

  // -- files that are dropped or chosen
  for (const type of ["dragover", "dragleave", "drop"]) inst.addEventListener(type, (e) => {
    if (!e.dataTransfer?.types.includes("Files")) return;
    e.preventDefault(); root.querySelector(".screen").classList.toggle("drop", type === "dragover");
    if (type === "drop" && e.dataTransfer.files[0]) ui.hear(e.dataTransfer.files[0]);
  });
  for (const name of ["file", "packfile"]) $(name).addEventListener("change", (e) => { if (e.target.files[0]) ui.hear(e.target.files[0]); e.target.value = ""; });

  // -- begin
  $("run").textContent = `${backend.about.name} · ${backend.latent} dimensions · learned from ${backend.about.sounds.toLocaleString("en")} sounds`;
  if (!config.prior) ui.say("This page does not know the prior of this model: chance is a step nearby.");
  addMidi(ui); addMacros(ui); addChance(ui); addMorph(ui); addLabels(ui); addNumbers(ui);
  ui.map = new SoundMap(ui); addPad(ui); addKeyboard(ui); addPattern(ui);
  const measure = () => { ui.narrow = inst.clientWidth < 640; ui.fitPiano(); ui.draw(); };
  const watcher = new ResizeObserver(measure), scheme = matchMedia("(prefers-color-scheme: dark)"), rescheme = () => setTheme();
  watcher.observe(inst); scheme.addEventListener("change", rescheme);
  ui.dispose.push(() => watcher.disconnect(), () => scheme.removeEventListener("change", rescheme), () => session.loop(false), () => session.voice.close());
  const theme = fromStorage("theme"); // else as the system has it
  setTheme(theme === "dark" || theme === "light" ? theme : null, false); measure(); ui.buttons();
  const first = (hash && fromHash(session.N)) || session.vector(ui.middle?.[0] ?? 0);
  const opened = session.go(first, { name: backend.about.labels[0] ?? "", play: "" }).then(() => addTray(ui)).then(() => ui.buttons());
  return { ui, session, backend, opened, setTheme, go: (z, options) => session.go(z, options), dispose: () => ui.dispose.forEach((end) => end()) };
}

// The vector that stands in the address of the page, or null
function fromHash(N) {
  if (!/^#[\w-]{8,}=*$/.test(location.hash)) return null;
  try {
    const bytes = Uint8Array.from(atob(location.hash.slice(1).replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0)), z = new Float32Array(bytes.buffer);
    return z.length === N && z.every(Number.isFinite) ? z : null;
  } catch { return null; }
}
