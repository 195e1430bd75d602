// Sixteen steps: kept sounds in a beat, scheduled a little ahead on the audio clock, so that a busy page never shifts one.
import { fromStorage, toStorage } from "./storage.js";

export function addPattern(ui) {
  const { session, $ } = ui, box = $("pattern"), tempo = $("tempo");
  let timer = 0, step = 0, next = 0;
  // The steps belong to the kept sound: they are saved with it. The first of all begins with four on the floor.
  const stepsOf = (kept) => kept.steps ??= Array.from({ length: 16 }, (_, s) => ui.kept.length === 1 && s % 4 === 0);
  tempo.value = fromStorage("tempo", 120);
  tempo.addEventListener("change", () => toStorage("tempo", tempo.value));

  function show() {
    $("beat").hidden = !ui.kept.length;
    if (!ui.kept.length && timer) stop();
    box.replaceChildren(...ui.kept.map((kept) => {
      const row = document.createElement("div"), steps = stepsOf(kept);
      row.className = "steps"; row.innerHTML = `<span></span>`; row.firstChild.textContent = kept.name;
      steps.forEach((on, s) => {
        const button = document.createElement("button");
        button.setAttribute("aria-label", `${kept.name}, step ${s + 1}`); button.setAttribute("aria-pressed", on); button.dataset.step = s;
        button.onclick = () => { steps[s] = !steps[s]; button.setAttribute("aria-pressed", steps[s]); ui.persist(); };
        row.append(button);
      });
      return row;
    }));
  }
  function schedule() {
    const context = session.voice.ready, length = 15 / Math.min(300, Math.max(30, +tempo.value || 120)); // a sixteenth, s
    if (next < context.currentTime) next = context.currentTime + 0.05;
    for (; next < context.currentTime + 0.12; next += length, step = (step + 1) % 16) {
      for (const sound of ui.kept) if (stepsOf(sound)[step]) session.play(sound.wave, { choke: false, when: next, gain: 0.8 });
      const now = step, wait = 1000 * (next - context.currentTime);
      setTimeout(() => { for (const button of box.querySelectorAll("button")) button.classList.toggle("now", timer && +button.dataset.step === now); }, wait);
    }
  }
  function stop() {
    clearInterval(timer); timer = 0; ui.button("beat").setAttribute("aria-pressed", "false");
    for (const button of box.querySelectorAll(".now")) button.classList.remove("now");
  }
  ui.acts.beat = () => {
    if (timer) return stop();
    step = 0; next = 0; timer = setInterval(schedule, 25); ui.button("beat").setAttribute("aria-pressed", "true"); schedule();
  };
  ui.on("kept", show);
  ui.dispose.push(() => clearInterval(timer));
  show();
}
