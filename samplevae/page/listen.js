// A listening test from the first screen to the last. What has been answered is kept after every trial: a reload goes on.
import { Player, headphoneTones } from "./listen_sound.js";
import { planPractice, planTrials, seededRandom, shuffled } from "./listen_order.js";
import { fromStorage, toStorage } from "./storage.js";

const $ = (selector) => document.querySelector(selector);

function make(tag, { text, ...rest } = {}, ...children) { // an element with properties, attributes (data-, aria-) and children
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(rest)) name.includes("-") || name === "role" ? element.setAttribute(name, value) : (element[name] = value);
  if (text !== undefined) element.textContent = text;
  element.append(...children.filter(Boolean));
  return element;
}

const button = (text, onclick, { key, ...rest } = {}) => make("button", { type: "button", onclick, "data-key": key ?? "", ...rest }, text, key && key !== text && make("kbd", { text: key === " " ? "space" : key }));

const randomCode = () => [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

// Any text -> a code of letters that a file name may have; different ones for different texts
function listenerCode(text) {
  const plain = text.replace(/[^\w-]/g, "-");
  const mark = () => Math.floor(seededRandom(text)() * 2 ** 32).toString(16);
  return plain === text && text.length <= 40 ? text : `${plain.slice(0, 30)}-${mark()}`;
}

class Listening {
  constructor(test, sounds) {
    Object.assign(this, { test, player: new Player(sounds) });
    const [hash, behind] = location.hash.slice(1).split("?"); // the key of `samplevae listen --serve`; a code that was put behind it counts
    this.key = hash;
    const asked = listenerCode(new URLSearchParams(location.search || behind).get("listener") ?? "");
    const known = fromStorage(`listen:${test.id}`), listener = asked || (typeof known === "string" && known) || randomCode(); // who comes back without a code is the same
    if (!asked) toStorage(`listen:${test.id}`, listener);
    this.place = `listen:${test.id}:${listener}`;
    this.result = this.stored() ?? { test: test.id, kind: test.kind, listener, consent: false, headphones: null, answers: [], began: new Date().toISOString(), ended: null };
    this.trials = planTrials(test, this.result.listener);
    this.practiceTrial = planPractice(test, this.trials);
    this.stops = { break: 0 };
    document.addEventListener("keydown", (event) => this.press(event));
    $("h1").textContent = test.title;
    window.listening = this;
  }

  stored() { // what this browser keeps of the listener, if it is whole
    const kept = fromStorage(this.place);
    return kept?.test === this.test.id && Array.isArray(kept.answers) ? kept : null;
  }

  keep(added = 0) { // another tab may have gone on meanwhile: then what it has counts
    const stored = this.stored();
    if (stored?.answers.length > this.result.answers.length - added) this.result = stored;
    else if (!toStorage(this.place, this.result)) {
      this.warning = "This window keeps nothing: do not reload or close it before the end. ";
      onbeforeunload = () => (this.saved ? undefined : false);
    }
  }

  show(where, help, ...children) {
    this.player.stop();
    $(".where").textContent = where;
    $(".help").textContent = (this.warning ?? "") + help;
    $(".screen").replaceChildren(...children.filter(Boolean));
    $("progress").value = this.result.answers.length / this.trials.length;
    $(".screen h2").tabIndex = -1;
    $(".screen h2").focus(); // a key that is still held down chooses nothing
    scrollTo(0, 0);
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key === "Enter" ? "enter" : event.key.toLowerCase();
    const goesOn = key === "enter" && $(".screen .next"); // rather than pressing what has the focus
    const target = [...document.querySelectorAll(".screen button[data-key]")].find((other) => other.dataset.key === key && !other.disabled);
    if (target || goesOn) event.preventDefault();
    if (target && !event.repeat) target.click();
  }

  playButton(text, key, sound, heard = () => {}) { // plays, shows that it does, and counts
    const element = button(text, async () => {
      element.classList.add("sounding");
      let began = false;
      try { began = await this.player.play(sound, () => element.classList.remove("sounding")); } catch { $(".help").textContent = "This browser cannot play this sound: please reload the page, or take another browser."; }
      if (!began) return element.classList.remove("sounding"); // or another was asked for meanwhile
      element.dataset.plays = +(element.dataset.plays ?? 0) + 1;
      heard(element);
    }, { key });
    return element;
  }

  nextButton(next, text = "Next", disabled = true) { return button(text, next, { key: "enter", disabled, className: "next" }); }

  intro() {
    const { test, result, trials } = this;
    if (result.ended) return this.end();
    const minutes = Math.max(2, Math.round(trials.length * test.seconds / 60));
    const begin = this.nextButton(() => { result.consent = true; this.keep(); this.volume(); }, result.answers.length ? "Go on" : "Begin", !result.consent);
    const box = make("input", { type: "checkbox", checked: result.consent, onchange: () => { begin.disabled = !box.checked; } });
    const breaks = trials.length > test.break_every ? ", with breaks" : "";
    this.show("", `${trials.length} questions, about ${minutes} minutes${breaks}. It can be done with the keyboard alone.`,
      make("h2", { text: test.question }), ...test.about.map((text) => make("p", { text })),
      make("label", { className: "consent" }, box, make("span", { text: "I take part of my own will, and my answers may be kept and analysed. They are kept with their times and a code, without my name or address." })),
      make("div", { className: "row" }, begin), result.answers.length > 0 && make("p", { className: "note", text: `${result.answers.length} of ${trials.length} are answered.` }));
  }

  volume() {
    const sound = this.test.stimuli[0].sound, next = this.nextButton(() => (this.result.headphones ? this.trial() : this.headphones(0, [])));
    this.show("volume", "", make("h2", { text: "Put on headphones, and set the volume" }),
      make("p", { text: "Play the sound, and set the volume of your device so that it is clear and not too loud. Then leave it as it is." }),
      make("div", { className: "row" }, this.playButton("Play", " ", sound, () => { next.disabled = false; }), next));
  }

  headphones(turn, answers, tries = 1) {
    const orders = shuffled(["plain", "soft", "opposite"], seededRandom(`${this.result.listener}:phones:${turn + 6 * (tries - 1)}`));
    const choose = (place) => {
      answers.push(orders[place] === "soft");
      if (answers.length < 6) return this.headphones(turn + 1, answers, tries);
      const right = answers.filter(Boolean).length;
      if (right < 5 && tries === 1) return this.again(right);
      this.result.headphones = { right, of: 6, tries };
      this.keep();
      this.practice();
    };
    const choices = [0, 1, 2].map((place) => button(["First", "Second", "Third"][place], () => choose(place), { key: `${place + 1}`, disabled: true }));
    const play = button("Play three tones", () => { this.player.stop(); this.player.start(headphoneTones(this.player.ready, orders)); choices.forEach((choice) => { choice.disabled = false; }); }, { key: " " });
    this.show(`headphones, ${turn + 1} of 6`, "This tells headphones from loudspeakers. Wear both sides.", make("h2", { text: "Which tone is the softest?" }), make("div", { className: "row" }, play), make("div", { className: "row" }, ...choices));
  }

  again(right) {
    this.show("headphones", "", make("h2", { text: "It sounds like loudspeakers" }), make("p", { text: `${right} of 6 were right. Are the headphones on, both sides, and plugged in all the way? Is the room quiet? Then try once more: answers without headphones cannot be counted.` }), make("div", { className: "row" }, this.nextButton(() => this.headphones(0, [], 2), "Try once more", false)));
  }

  practice() {
    this.ask(this.practiceTrial, "for practice", () => this.trial());
  }

  trial() {
    const { trials, result, test } = this, place = result.answers.length;
    if (place >= trials.length) return this.end();
    if (place && place % test.break_every === 0 && this.stops.break !== place) { this.stops.break = place; return this.pause(place); }
    const next = trials[place + 1];
    const begin = performance.now();
    this.ask(trials[place], `${place + 1} of ${trials.length}`, (answer) => {
      result.answers.push({ ...answer, seconds: Math.round(performance.now() - begin) / 1000 });
      this.keep(1);
      this.trial();
    });
    if (next && !next.check) for (const key of this.soundsOf(next)) this.player.buffer(key).catch(() => {});
  }

  pause(place) {
    this.show("a break", "", make("h2", { text: "Rest your ears" }), make("p", { text: `${place} of ${this.trials.length} are done` + (this.warning ? "." : ", and kept: you may close this page and come back to it.") }), make("div", { className: "row" }, this.nextButton(() => this.trial(), "Go on", false)));
  }

  soundsOf(trial) {
    const reference = this.test.references[trial.item];
    return [...(trial.systems ?? [trial]).map((stimulus) => stimulus.sound), ...(reference && this.test.kind !== "mos" ? [reference] : [])];
  }

  ask(trial, where, done) {
    if (trial.check) return this.askCheck(trial, where, done);
    ({ mos: this.askRating, similarity: this.askRating, mushra: this.askMushra, abx: this.askAbx })[this.test.kind].call(this, trial, where, done);
  }

  scale(enabled, chosen) {
    const row = make("div", { className: "scale", role: "radiogroup", "aria-label": this.test.question });
    for (const [value, word] of this.test.scale) row.append(button("", () => {
      for (const other of row.children) other.setAttribute("aria-checked", other.dataset.key === `${value}`);
      chosen(value);
    }, { key: `${value}`, disabled: !enabled, role: "radio", "aria-checked": "false" }));
    [...row.children].forEach((element, k) => element.replaceChildren(make("b", { text: this.test.scale[k][0] }), make("span", { text: this.test.scale[k][1] })));
    return row;
  }

  askCheck(trial, where, done) {
    let rating;
    const next = this.nextButton(() => done({ check: trial.check, rating }));
    this.show(where, "", make("h2", { text: `No sound this time: please choose ${trial.check}` }), make("p", { className: "note", text: "Such questions show that somebody is listening." }), this.scale(true, (value) => { rating = value; next.disabled = false; }), make("div", { className: "row" }, next));
  }

  askRating(trial, where, done) {
    let rating;
    const similar = this.test.kind === "similarity", plays = [];
    const next = this.nextButton(() => done({ item: trial.item, system: trial.system, rating, plays: plays.map((one) => +(one.dataset.plays ?? 0)) }));
    const scale = this.scale(false, (value) => { rating = value; next.disabled = false; });
    const heard = () => { if (plays.every((one) => one.dataset.plays)) for (const choice of scale.children) choice.disabled = false; };
    if (similar) plays.push(this.playButton("Reference", "r", this.test.references[trial.item], heard));
    plays.push(this.playButton(similar ? "Sound" : "Play", " ", trial.sound, heard));
    this.show(where, "A sound can be played as often as you like. Keys: space plays, 1 to 5 rate, Enter goes on.", make("h2", { text: this.test.question }), make("div", { className: "row" }, ...plays), scale, make("div", { className: "row" }, next));
    plays.at(-1).focus();
  }

  askMushra(trial, where, done) {
    const faders = trial.systems.map((stimulus, k) => {
      const output = make("output", { text: "–" });
      const input = make("input", { type: "range", min: 0, max: 100, value: 0, "aria-label": `rating of sound ${k + 1}`, disabled: true, oninput: () => { output.textContent = input.value; input.dataset.set = 1; check(); } });
      const play = this.playButton(`${k + 1}`, "123456789qwertyuiop"[k] ?? "", stimulus.sound, () => { input.disabled = false; input.focus(); check(); });
      return { stimulus, input, play, output };
    });
    const reference = this.playButton("Reference", "0", this.test.references[trial.item], () => check());
    const ratings = () => Object.fromEntries(faders.map(({ stimulus, input }) => [stimulus.system, +input.value]));
    const next = this.nextButton(() => done({ item: trial.item, ratings: ratings() }));
    const check = () => { next.disabled = !reference.dataset.plays || !faders.every(({ input }) => input.dataset.set); };
    this.show(where, "0 plays the reference, 1 and on the sounds; arrow keys move the slider of the sound that was played by 1, page keys by 10. One of them is the reference itself.", make("h2", { text: this.test.question }), make("div", { className: "row" }, reference),
      make("div", { className: "faders" }, make("div", { className: "words" }, ...["excellent", "good", "fair", "poor", "bad"].map((text) => make("span", { text }))), ...faders.map(({ input, play, output }) => make("div", { className: "fader" }, play, input, output))),
      make("div", { className: "row" }, next));
    reference.focus();
  }

  askAbx(trial, where, done) {
    const pair = [this.test.references[trial.item], trial.sound];
    const [a, b] = trial.swapped ? pair.reverse() : pair, sounds = { a, b, x: trial.x === "a" ? a : b };
    let choice;
    const next = this.nextButton(() => done({ item: trial.item, system: trial.system, choice, right: choice === trial.x, plays: plays.map((one) => +(one.dataset.plays ?? 0)) }));
    const choices = ["a", "b"].map((name, k) => button(`X is ${name.toUpperCase()}`, () => { choice = name; choices.forEach((one, i) => one.setAttribute("aria-pressed", i === k)); next.disabled = false; }, { key: `${k + 1}`, disabled: true }));
    const heard = () => { if (plays.every((one) => one.dataset.plays)) choices.forEach((one) => { one.disabled = false; }); };
    const plays = ["a", "b", "x"].map((name) => this.playButton(name.toUpperCase(), name, sounds[name], heard));
    this.show(where, "A, B and X play; 1 says that X is A, 2 that it is B; Enter goes on.", make("h2", { text: this.test.question }), make("div", { className: "row" }, ...plays), make("div", { className: "row" }, ...choices), make("div", { className: "row" }, next));
    plays[0].focus();
  }

  other() { // another listener in the same browser; what this one has answered stays kept
    toStorage(`listen:${this.test.id}`, randomCode());
    onbeforeunload = null;
    history.replaceState(null, "", location.pathname + (this.key ? `#${this.key}` : ""));
    onhashchange = null;
    location.reload();
  }

  async end() {
    this.result.ended ??= new Date().toISOString();
    this.keep();
    const text = JSON.stringify(this.result, null, 1), note = make("p", { className: "note" });
    const link = make("a", { download: `${this.test.id}-${this.result.listener}.json`, href: URL.createObjectURL(new Blob([text], { type: "application/json" })) });
    this.show("done", "", make("h2", { text: "Thank you" }), note, make("div", { className: "row" }, button("Download the answers", () => { this.saved = true; link.click(); }), button("Somebody else takes part here", () => this.other())));
    const collected = location.protocol.startsWith("http") && this.key;
    if (!collected) { note.textContent = "Please download the answers, and send the file to whoever asked you."; return; }
    onhashchange = () => location.reload(); // a server that was started again has another key
    note.textContent = "Your answers are being sent …";
    try {
      const answer = await fetch("/result", { method: "POST", headers: { "X-Key": this.key }, body: text, signal: AbortSignal.timeout(20000) });
      if (!answer.ok) throw new Error(await answer.text());
      this.saved = true;
      note.textContent = "Your answers have arrived. You may close this page.";
    } catch (error) {
      note.className = "problem";
      note.textContent = `Your answers could not be sent (${error.message}): reload the page to try again, or download them. They are kept.`;
    }
  }
}

export function openTest() {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  new Listening(read("test"), read("sounds")).intro();
}
