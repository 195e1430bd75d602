// Sliders: one that stands or lies, by hand, by keys, by MIDI; the macros; principal directions; the numbers themselves.
import { clamp } from "./arithmetic.js";
import { drawRidge } from "./pictures.js";
import { MACROS } from "./words.js";

// Where a browser tells of each move at once, and not once a frame
export const MOVE = typeof window !== "undefined" && "onpointerrawupdate" in window ? "pointerrawupdate" : "pointermove";
const KEYS = { ArrowRight: 0.02, ArrowUp: 0.02, ArrowLeft: -0.02, ArrowDown: -0.02, PageUp: 0.1, PageDown: -0.1 };

// input(value, event time) while it moves, done(value) when it was let go; home(): where a double click goes
export function makeSlider(box, { label, low, high, value, text, flat = () => true, input, done = () => {}, home, learn }) {
  box.insertAdjacentHTML("beforeend", `<div class="rail" role="slider" tabindex="0" aria-valuemin="0" aria-valuemax="100"><div class="slit"></div><div class="cap"></div></div>`);
  const rail = box.querySelector(".rail"), cap = box.querySelector(".cap");
  let grip = null, current = value(), timer = 0;
  rail.setAttribute("aria-label", label);
  const share = (v) => clamp((v - low) / (high - low), 0, 1), off = () => rail.getAttribute("aria-disabled") === "true";
  const show = (v = value()) => {
    current = v;
    rail.style.setProperty("--p", share(v).toFixed(4));
    rail.setAttribute("aria-valuenow", Math.round(100 * share(v))); rail.setAttribute("aria-valuetext", text(v));
    rail.setAttribute("aria-orientation", flat() ? "horizontal" : "vertical");
    box.classList.toggle("edge", v < low - 1e-9 || v > high + 1e-9);
  };
  const set = (v, time) => { v = clamp(v, low, high); show(v); input(v, time); };
  const setSoon = (v, time) => { set(v, time); clearTimeout(timer); timer = setTimeout(() => done(current), 350); };
  rail.addEventListener("pointerdown", (e) => {
    if (e.button) return;
    e.preventDefault(); // or the browser would begin to select text
    if (off()) return;
    rail.setPointerCapture(e.pointerId); rail.focus({ preventScroll: true });
    const r = rail.getBoundingClientRect(), c = cap.getBoundingClientRect(), lies = flat();
    const onCap = e.target === cap || Math.abs(lies ? e.clientX - c.x - c.width / 2 : e.clientY - c.y - c.height / 2) < 10;
    const p = lies ? (e.clientX - r.x) / r.width : 1 - (e.clientY - r.y) / r.height;
    grip = { x: e.clientX, y: e.clientY, p: onCap ? share(current) : p, span: lies ? r.width : r.height, lies };
    if (!onCap) set(low + p * (high - low), e.timeStamp);
  });
  rail.addEventListener(MOVE, (e) => {
    if (!grip) return;
    grip.p = clamp(grip.p + (grip.lies ? e.clientX - grip.x : grip.y - e.clientY) / grip.span * (e.shiftKey ? 0.15 : 1), 0, 1);
    grip.x = e.clientX; grip.y = e.clientY;
    set(low + grip.p * (high - low), e.timeStamp);
  });
  for (const type of ["pointerup", "pointercancel"]) rail.addEventListener(type, () => { if (grip) { grip = null; done(current); } });
  if (home) rail.addEventListener("dblclick", (e) => { const v = home(); if (v !== undefined) { set(v, e.timeStamp); done(v); } });
  rail.addEventListener("keydown", (e) => {
    const part = KEYS[e.key], v = part ? current + part * (high - low) * (e.shiftKey ? 0.2 : 1) : { Home: low, End: high }[e.key];
    if (v === undefined || off() || e.ctrlKey || e.metaKey) return;
    e.preventDefault(); e.stopPropagation();
    setSoon(v, e.timeStamp);
  });
  show();
  const slider = { show, rail, low, high, get held() { return !!grip; }, setShare: (p, time) => { if (!off()) setSoon(low + p * (high - low), time); } };
  learn?.(rail, label, (p) => slider.setShare(p, performance.now()));
  return slider;
}

export function addMacros(ui) {
  const { session, $ } = ui, { about } = session, groups = ["Tone", "Colour", "Shape"].map((name, g) => {
    const box = document.createElement("div"), many = session.macros.filter((macro) => MACROS[macro][1] === g).length;
    box.className = "group"; box.innerHTML = `<h3>${name}</h3>`; box.style.flex = many;
    if (many) $("faders").append(box);
    return box;
  });
  ui.faders = Object.fromEntries(session.macros.map((name) => [name, addMacro(ui, name, groups[MACROS[name][1]])]));
  let lastKind = null, lastInk = null, lastNarrow = null;
  ui.onDraw((kind) => {
    const d = session.descriptors, anew = kind !== lastKind || ui.ink !== lastInk || ui.narrow !== lastNarrow;
    [lastKind, lastInk, lastNarrow] = [kind, ui.ink, ui.narrow];
    for (const [name, fader] of Object.entries(ui.faders)) {
      const inHand = fader.held || session.hand?.names.includes(name);
      fader.value.textContent = fader.say(d[name]);
      fader.box.classList.toggle("live", inHand);
      if (!inHand) fader.show(d[name]);
      if (anew) drawRidge(fader.ridge, fader.column, session.kinds, kind, { low: fader.low, high: fader.high, flat: ui.narrow, ink: ui.ink });
      for (const side of ["A", "B"]) {
        const mark = fader.rail.querySelector(`.mark.${side.toLowerCase()}`), held = ui.two[side];
        mark.hidden = !held;
        if (held) mark.style.setProperty("--p", clamp((held.descriptors[name] - fader.low) / (fader.high - fader.low), 0, 1));
      }
    }
  });
}

function addMacro(ui, name, group) {
  const { session } = ui, { about } = session, j = session.index[name], [label, , say] = MACROS[name];
  const margin = Math.max(0.05, 0.04 * (about.high[j] - about.low[j])), low = about.low[j] - margin, high = about.high[j] + margin, box = document.createElement("div");
  box.className = "fader"; box.dataset.name = name; box.innerHTML = `<span class="value" aria-hidden="true"></span>`;
  group.append(box);
  const slider = makeSlider(box, {
    label, low, high, text: say, flat: () => ui.narrow, learn: ui.learn, value: () => session.descriptors?.[name] ?? low,
    input(v, event) {
      if (name === "pitch") { // known, not searched for
        const z = Float32Array.from(session.now.z);
        z[0] = (v - 8) / 2; session.jacobian = null;
        session.decode(z, { play: "drag", event });
        return;
      }
      if (!session.hand?.names.includes(name)) session.grab([name]);
      session.aim({ [name]: v }, event);
    },
    done: () => session.release(), home: () => session.origin?.[name],
  });
  const ridge = document.createElement("canvas"), button = document.createElement("button");
  ridge.className = "ridge"; ridge.setAttribute("aria-hidden", "true"); slider.rail.prepend(ridge);
  for (const side of ["a", "b"]) slider.rail.insertAdjacentHTML("beforeend", `<span class="mark ${side}" hidden>${side.toUpperCase()}</span>`);
  button.className = "name"; button.textContent = label; button.title = "Lock: dice and labels leave it as it is";
  button.setAttribute("aria-pressed", "false"); button.setAttribute("aria-label", `Lock ${label.toLowerCase()}`);
  button.onclick = () => {
    const on = !session.locked.delete(name);
    if (on) session.locked.set(name, session.descriptors?.[name] ?? 0); // where it is now, and not where it drifts to
    button.setAttribute("aria-pressed", on); box.classList.toggle("locked", on);
  };
  box.append(button);
  const column = Float32Array.from({ length: session.count }, (_, i) => session.values[session.K * i + j]);
  return Object.assign(slider, { box, ridge, say, column, value: box.querySelector(".value") });
}

// Rows that lie folded away: directions in which the training sounds differ most, then the numbers themselves
export function addNumbers(ui) {
  const { session, $ } = ui, { about, N } = session, shown = [];
  const add = (box, label, options) => {
    const row = document.createElement("div");
    row.className = "dial"; box.append(row);
    const slider = makeSlider(row, { label, learn: ui.learn, text: (v) => v.toFixed(2), done: () => session.remember(), ...options });
    row.insertAdjacentHTML("beforeend", `<span>${label}</span><span class="n"></span>`);
    shown.push(() => { slider.show(); row.querySelector(".n").textContent = options.value().toFixed(2); });
  };
  const move = (z, event) => { session.jacobian = null; session.decode(z, { play: "drag", event }); };
  about.axes.forEach((axis, i) => {
    const value = () => session.now.z ? axis.reduce((sum, q, k) => sum + q * (session.now.z[k] - about.mean[k]) / about.std[k], 0) : 0;
    add($("directions"), `Direction ${i + 1}`, { low: -6, high: 6, value, input: (v, event) => { const by = v - value(); move(session.now.z.map((x, k) => x + by * axis[k] * about.std[k]), event); } });
  });
  for (let k = 0; k < N; k++) {
    const s = session.spread(k), name = k < session.pitchDims ? ["the pitch", "confidence"][k] : `z${k - session.pitchDims}`;
    const [low, high] = name === "confidence" ? [0, 1] : [about.mean[k] - 3.5 * s, about.mean[k] + 3.5 * s];
    add($("raw"), name, { low, high, value: () => session.now.z?.[k] ?? 0, input: (v, event) => { const z = Float32Array.from(session.now.z); z[k] = v; move(z, event); } });
  }
  ui.onDraw(() => { if ($("numbers").open) for (const show of shown) show(); });
  $("numbers").addEventListener("toggle", () => ui.draw());
}
