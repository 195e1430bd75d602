// What one keeps: the tray, which survives a reload; eight snapshots, and the way through them; files to save and to open.
import { arc } from "./arithmetic.js";
import { clipFromChannels, readFromZip, wavFile, zipFile } from "./files.js";
import { drawWave } from "./pictures.js";
import { makeSlider } from "./sliders.js";
import { fromStorage, toStorage } from "./storage.js";
import { noteOfOctaves, titleOf } from "./words.js";

const FORMAT = 1; // of pack.json
const download = (content, name) => {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type: "audio/wav" })); a.download = name; a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 1e4);
};

export async function addTray(ui) {
  const { session, $ } = ui, { about, backend, rate } = session, key = about.id;
  ui.kept = [];
  const noteOf = (z) => session.pitched ? noteOfOctaves(8 + 2 * z[0]) : 60;
  const title = () => titleOf(session.descriptors, about.labels[session.among(session.now.z).ranked[0]?.[1]], session.pitched);
  const wav = (kept) => wavFile(kept.wave, rate, noteOf(kept.z));
  const persist = () => { if (!toStorage(key, ui.kept.map(({ z, name, fresh, steps }) => ({ z: [...z], name, fresh, steps })))) ui.say("This browser keeps nothing from one visit to the next: save what you want to have."); };
  ui.titled = title;

  const add = (z, name, wave, fresh, steps) => ui.kept.push({ z: Float32Array.from(z), name, wave, fresh, steps });
  const same = (a, z, fresh) => a.fresh === fresh && a.z.every((x, k) => x === Math.fround(z[k]));
  ui.persist = persist;
  const changed = () => { persist(); show(); ui.buttons(); ui.draw(); ui.tell("kept"); };
  ui.acts.keep = () => { if (session.descriptors) { add(session.now.z, title(), session.now.wave, session.now.fresh); changed(); } };
  ui.recall = (i, event = performance.now()) => {
    const kept = ui.kept[i];
    if (!kept) return;
    session.now.fresh = kept.fresh ?? 0; session.tell("glide"); session.go(kept.z, { name: kept.name, event });
  };
  async function restore(list) { // of vectors that were saved
    const good = list.filter(({ z, fresh }) => Array.isArray(z) && z.length === session.N && z.every(Number.isFinite) && !ui.kept.some((kept) => same(kept, z, fresh ?? 0)));
    for (const kept of good) {
      const [wave] = await backend.waves([Float32Array.from(kept.z)], kept.fresh ?? 0);
      add(kept.z, String(kept.name ?? "sound"), session.level(wave), kept.fresh ?? 0, Array.isArray(kept.steps) && kept.steps.length === 16 ? kept.steps.map(Boolean) : undefined);
    }
    return good.length;
  }

  let ink = null;
  function show() {
    $("pads").replaceChildren(...ui.kept.map((kept, i) => {
      const pad = document.createElement("div");
      pad.className = "pad"; pad.title = kept.name; pad.draggable = true;
      pad.innerHTML = `<button class="hit"><canvas aria-hidden="true"></canvas><b>${i < 9 ? i + 1 : ""}</b><span class="title"></span></button><button class="gone">×</button>`;
      pad.querySelector(".title").textContent = kept.name;
      pad.querySelector(".hit").setAttribute("aria-label", `Kept sound ${i + 1}, ${kept.name}`); pad.querySelector(".gone").setAttribute("aria-label", `Remove kept sound ${i + 1}`);
      pad.addEventListener("dragstart", (e) => e.dataTransfer.setData("DownloadURL", `audio/wav:${kept.name}.wav:${URL.createObjectURL(new Blob([wav(kept)], { type: "audio/wav" }))}`)); // onto the desktop, where a browser can
      pad.querySelector(".hit").onclick = (e) => ui.recall(i, e.timeStamp);
      pad.querySelector(".gone").onclick = () => {
        const { place } = session;
        ui.kept.splice(i, 1); changed(); ui.button("undo").disabled = false;
        ui.takeBack = () => { if (session.place === place) { ui.kept.splice(i, 0, kept); changed(); return true; } };
        ui.say(`${kept.name} is out of the tray; Undo brings it back.`);
      };
      kept.pad = pad;
      return pad;
    }), ...Array.from({ length: Math.max(0, 6 - ui.kept.length) }, () => Object.assign(document.createElement("div"), { className: "pad empty" })));
    ink = null;
  }
  ui.onDraw(() => {
    for (const kept of ui.kept) kept.pad?.classList.toggle("now", kept.z.every((x, k) => x === session.now.z[k]));
    if (ink === ui.ink) return;
    ink = ui.ink;
    for (const kept of ui.kept) if (kept.pad) drawWave(kept.pad.querySelector("canvas"), kept.wave, { colour: ink.soft });
  });
  ui.onButtons(() => { ui.button("pack").disabled = !ui.kept.length; });

  // -- files
  ui.acts.save = () => download(wav({ z: session.now.z, wave: session.now.wave }), `${title()}.wav`);
  ui.acts.pack = () => download(zipFile(packFiles(ui, wav)), `${about.name} pack.zip`);
  ui.acts.openpack = () => $("packfile").click();
  ui.openPack = async (file) => {
    try {
      const bytes = await readFromZip(new Uint8Array(await file.arrayBuffer()), "pack.json"), pack = bytes && JSON.parse(new TextDecoder().decode(bytes));
      if (!Array.isArray(pack?.sounds)) throw new Error("there is no pack.json in it");
      if (pack.model !== about.id) throw new Error(`it is of another model (${pack.run ?? "unknown"}), whose vectors mean nothing here`);
      const number = await restore(pack.sounds.map(({ vector, name, fresh, steps }) => ({ z: vector, name, fresh, steps })));
      changed(); ui.say(number ? `${number} sounds of ${file.name} are in the tray.` : `All sounds of ${file.name} are in the tray already.`);
    } catch (error) { ui.say(`${file.name} cannot be opened: ${error.message}.`); }
  };
  ui.hear = async (file) => {
    if (/\.zip$/i.test(file.name)) return ui.openPack(file);
    if (!backend.encodes) return ui.say("This instrument cannot take sounds: its encoder does not run in the page.");
    try {
      if (file.size > 50e6) throw new Error("it is larger than 50 MB; this instrument plays sounds of a second or two");
      const context = new OfflineAudioContext(1, backend.length, rate);
      let decoded;
      try { decoded = await context.decodeAudioData(await file.arrayBuffer()); } catch { throw new Error("this browser finds no sound in it"); }
      const clip = clipFromChannels(Array.from({ length: decoded.numberOfChannels }, (_, c) => decoded.getChannelData(c)), rate, backend.length);
      const z = backend.join(await backend.encode(clip));
      session.tell("glide"); await session.go(z, { name: file.name, ghost: clip });
      ui.buttons();
      ui.say(`${file.name}, as this model knows it${decoded.duration > about.config.seconds + 0.1 ? `; of its ${decoded.duration.toFixed(1)} s the first ${about.config.seconds}` : ""}. The key o plays the sound itself.`);
    } catch (error) { ui.say(`${file.name} cannot be used: ${error.message}.`); }
  };
  addSnapshots(ui, `${key}:snapshots`);
  const before = fromStorage(key, about.presets); // a published instrument brings some
  show();
  if (Array.isArray(before) && before.length) { await restore(before); show(); ui.buttons(); ui.draw(); ui.tell("kept"); }
}

// A text that says where the sounds come from, what is needed to open them again, and the sounds
function packFiles(ui, wav) {
  const { session } = ui, { about } = session, names = ui.kept.map((kept, i) => `${String(i + 1).padStart(2, "0")} ${kept.name}.wav`.replace(/[/\\:*?"<>|]/g, "_"));
  const sounds = ui.kept.map((kept, i) => {
    const { nearest, distance } = session.among(kept.z);
    return { file: names[i], name: kept.name, vector: [...kept.z], fresh: kept.fresh, steps: kept.steps, nearest: { training_sound: nearest, label: session.label(nearest), distance: +distance.toFixed(3) } };
  });
  const pack = { format: FORMAT, run: about.name, model: about.id, sample_rate: session.rate, seconds: about.config.seconds, source: about.source, sounds };
  const text = `Sounds made with SampleVAE, model "${about.name}" (${about.id}).\nIt has learned from: ${about.source}.\n\n`
    + "Each sound, and how near it is to the nearest training sound, in standard deviations a dimension (0 is a copy; a real sound that was not trained on is at about a half):\n"
    + sounds.map((s) => `  ${s.file}: ${s.nearest.distance} from training sound ${s.nearest.training_sound}${s.nearest.label ? ` (${s.nearest.label})` : ""}`).join("\n")
    + "\n\npack.json holds the vectors: open this zip in the instrument to go on.\n";
  const bytes = (content) => new TextEncoder().encode(content);
  return [...ui.kept.map((kept, i) => [names[i], wav(kept)]), ["pack.json", bytes(JSON.stringify(pack, null, 1))], ["about.txt", bytes(text)]];
}

// Eight places: an empty one takes the present sound, a full one gives it back; a slider goes from each to the next
function addSnapshots(ui, key) {
  const { session, $ } = ui, { backend } = session, slots = Array(8).fill(null);
  const saved = fromStorage(key);
  if (Array.isArray(saved)) saved.slice(0, 8).forEach((z, i) => { if (Array.isArray(z) && z.length === session.N && z.every(Number.isFinite)) slots[i] = { z: Float32Array.from(z) }; });
  let at = 0, asked = 0;
  const full = () => slots.filter(Boolean);
  const slider = makeSlider($("through"), {
    label: "Through the snapshots", low: 0, high: 1, value: () => at, text: (v) => `${Math.round(100 * v)} percent`, learn: ui.learn,
    async input(v, event) {
      at = v;
      const stops = full(), mine = ++asked;
      if (stops.length < 2) return;
      const place = v * (stops.length - 1), i = Math.min(Math.floor(place), stops.length - 2), part = place - i;
      for (const stop of [stops[i], stops[i + 1]]) stop.base ??= await backend.toBase(stop.z);
      const z = part === 0 ? stops[i].z : part === 1 ? stops[i + 1].z : await backend.toVector(arc(stops[i].base, stops[i + 1].base, part));
      if (mine === asked) { session.jacobian = null; session.decode(z, { play: "drag", event }); }
    },
    done: () => session.remember(),
  });
  const buttons = slots.map((_, i) => {
    const button = document.createElement("button");
    button.textContent = i + 1;
    button.onclick = (e) => {
      if (slots[i] && e.shiftKey) slots[i] = null;
      else if (slots[i]) { session.tell("glide"); session.go(slots[i].z, { name: `snapshot ${i + 1}`, event: e.timeStamp }); return; } else slots[i] = { z: Float32Array.from(session.now.z) };
      toStorage(key, slots.map((slot) => slot && [...slot.z])); update();
    };
    $("snapshots").append(button);
    return button;
  });
  function update() {
    buttons.forEach((button, i) => { button.classList.toggle("full", !!slots[i]); button.setAttribute("aria-label", slots[i] ? `Recall snapshot ${i + 1}; with Shift, empty it` : `Store the present sound as snapshot ${i + 1}`); button.title = button.getAttribute("aria-label"); });
    slider.rail.setAttribute("aria-disabled", full().length < 2);
  }
  update();
}
