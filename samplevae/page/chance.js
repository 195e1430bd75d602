// Chance and mixtures: dice, variation, temperature and the seed; A and B and the morph between; labels, and a mix of them.
import { arc } from "./arithmetic.js";
import { makeSlider } from "./sliders.js";

const PIPS = { 1: [12, 12], 2: [6, 6], 3: [18, 18], 4: [18, 6], 5: [6, 18], 6: [6, 12], 7: [18, 12] };
const FACES = [[1], [2, 3], [1, 2, 3], [2, 3, 4, 5], [1, 2, 3, 4, 5], [2, 3, 4, 5, 6, 7]];

export function addChance(ui) {
  const { session, $ } = ui, { backend } = session, field = $("seed");
  ui.variation = 0.25; ui.temperature = 0.9;
  const dial = (name, label, low, high, key, text) => makeSlider($(name), { label, low, high, learn: ui.learn, value: () => ui[key], text, input: (v) => { ui[key] = v; ui.shown(); } });
  const vary = dial("vary", "Variation, from the same to anything", 0.02, 1, "variation", (v) => `${Math.round(100 * v)} percent`);
  const heat = dial("heat", "Temperature, from typical to odd", 0.3, 1.3, "temperature", (v) => v.toFixed(2));
  ui.shown = () => { vary.show(); heat.show(); $("vary").querySelector("output").textContent = `${Math.round(100 * ui.variation)} %`; $("heat").querySelector("output").textContent = ui.temperature.toFixed(2); };
  const face = (n) => { $("pips").innerHTML = '<rect x=".5" y=".5" width="23" height="23" rx="4"/>' + FACES[n].map((p) => `<circle cx="${PIPS[p][0]}" cy="${PIPS[p][1]}" r="1.9"/>`).join(""); };
  face(4); ui.shown();

  // A throw, from the present sound; what is locked stays: the nearest of twelve, and from there by steps
  async function throwDice(seed = Math.floor(Math.random() * 1e9)) {
    const event = performance.now(), { wanted, pitch } = session.held, many = Object.keys(wanted).length > 0;
    field.value = seed; face(seed % 6);
    let points;
    try { points = await backend.vary(backend.split(session.now.z), ui.variation, { seed, temperature: ui.temperature, count: many ? 12 : 1, given: pitch ? session.now.z : null }); } catch (error) { ui.say(`The dice do not fall: ${error.message}.`); return; }
    const vectors = points.map((point) => session.withHeld(backend.join(point)));
    session.tell("glide");
    if (!many) return session.go(vectors[0], { event });
    const std = Object.fromEntries(session.names.map((name, i) => [name, session.about.descriptor_std[i]]));
    await session.go(await backend.nearest(vectors, wanted, std, session.now.fresh), { play: "", commit: false, event });
    await session.settle(wanted);
    session.hit(); session.remember();
  }
  ui.acts.dice = () => throwDice();
  field.addEventListener("keydown", (e) => {
    const seed = Math.abs(parseInt(field.value, 10));
    if (e.key === "Enter" && Number.isFinite(seed)) throwDice(seed);
  });
  ui.acts.noise = () => { session.now.fresh = 1 + Math.floor(Math.random() * 2 ** 31); session.decode(session.now.z, { play: "hit" }); };
}

export function addMorph(ui) {
  const { session, $ } = ui, { backend } = session, two = ui.two = { A: null, B: null, t: 0 };
  let asked = 0;
  const morph = makeSlider($("morph"), {
    label: "From A to B", low: 0, high: 1, value: () => two.t, text: (v) => `${Math.round(100 * v)} percent B`, learn: ui.learn,
    async input(v, event) {
      two.t = v;
      if (!two.A || !two.B) return;
      const mine = ++asked, z = v === 0 ? two.A.z : v === 1 ? two.B.z : await backend.toVector(arc(two.A.base, two.B.base, v));
      if (mine === asked) { session.jacobian = null; session.decode(z, { play: "drag", event }); }
    },
    done: () => session.remember(),
  });
  const hold = async (side) => {
    const z = Float32Array.from(session.now.z), descriptors = session.descriptors;
    two[side] = { z, descriptors, base: await backend.toBase(z) };
    two.t = side === "A" ? 0 : 1; morph.show(); ui.buttons(); ui.draw();
  };
  ui.goTo = (side) => { if (!two[side]) return hold(side); two.t = side === "A" ? 0 : 1; morph.show(); session.tell("glide"); session.go(two[side].z, { name: side }); };
  Object.assign(ui.acts, { setA: () => hold("A"), setB: () => hold("B"), goA: () => ui.goTo("A"), goB: () => ui.goTo("B") });
  ui.onButtons(() => {
    for (const side of ["A", "B"]) { ui.button(`go${side}`).classList.toggle("full", !!two[side]); ui.button(`go${side}`).setAttribute("aria-label", two[side] ? `Go to ${side}` : `Hold the present sound as ${side}`); }
    morph.rail.setAttribute("aria-disabled", !(two.A && two.B));
  });
}

// Labels: the real sound nearest to the middle of its kind; pressed again, another of them; and how much of each is mixed in
export function addLabels(ui) {
  const { session, $ } = ui, { about, N, count, kinds, backend } = session, { labels } = about;
  const sounds = labels.map((_, l) => [...Array(count).keys()].filter((i) => kinds[i] === l));
  ui.middle = sounds.map((own) => {
    const centre = Array.from({ length: N }, (_, k) => own.reduce((sum, i) => sum + session.vectors[N * i + k], 0) / own.length);
    const distance = (i) => session.distance(centre.map((x, k) => session.vectors[N * i + k] - x));
    return own.reduce((best, i) => { const d = distance(i); return d < best[0] ? [d, i] : best; }, [Infinity, own[0]])[1];
  });
  const pressed = new Set(), amounts = Array(labels.length).fill(0), bases = [], sliders = [];
  let asked = 0;
  async function mix(event) {
    const total = amounts.reduce((a, b) => a + b, 0), mine = ++asked;
    if (!total) return;
    for (const [l, amount] of amounts.entries()) if (amount && !bases[l]) bases[l] = await backend.toBase(session.vector(ui.middle[l]));
    const used = [...amounts.entries()].filter(([, amount]) => amount);
    const sum = Float32Array.from({ length: N }, (_, k) => used.reduce((s, [l, amount]) => s + amount / total * bases[l][k], 0));
    const size = used.reduce((s, [l, amount]) => s + amount / total * Math.hypot(...bases[l]), 0) / (Math.hypot(...sum) || 1);
    const z = used.length === 1 ? session.withHeld(session.vector(ui.middle[used[0][0]])) : await backend.toVector(sum.map((x) => x * size), session.held.pitch ? session.now.z : null);
    if (mine === asked) { session.jacobian = null; session.decode(z, { play: "drag", event }); }
  }
  labels.forEach((label, l) => {
    const button = document.createElement("button");
    button.innerHTML = "<i></i>"; button.append(label); button.style.setProperty("--c", `var(--k${l % 8})`);
    button.onclick = (e) => {
      const own = sounds[l], i = pressed.has(l) ? own[Math.floor(Math.random() * own.length)] : ui.middle[l];
      pressed.add(l); session.land(session.vector(i), { name: label, event: e.timeStamp });
    };
    $("labels").append(button);
    const row = document.createElement("div");
    row.className = "dial"; $("mix").append(row);
    sliders.push(makeSlider(row, { label: `How much ${label}`, low: 0, high: 1, value: () => amounts[l], text: (v) => `${Math.round(100 * v)} percent`, learn: ui.learn, input: (v, event) => { amounts[l] = v; mix(event); }, done: () => session.remember() }));
    row.insertAdjacentHTML("beforeend", `<span></span><span class="n"></span>`);
    row.querySelector("span").textContent = label; // a name of a folder may be anything
  });
  $("mixbox").hidden = labels.length < 2;
  ui.onDraw((kind, { ranked }) => {
    [...$("labels").children].forEach((button, l) => button.setAttribute("aria-current", l === kind));
    const shares = Object.fromEntries(ranked.map(([share, l]) => [l, share]));
    [...$("mix").querySelectorAll(".n")].forEach((n, l) => { n.textContent = `is ${Math.round(100 * (shares[l] ?? 0))} %`; });
  });
}
