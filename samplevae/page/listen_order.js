// Which trials a listener gets, and in which order: the same for the same listener code.

export function seededRandom(text) { // a text -> a function that gives numbers from 0 to 1
  let a = 2166136261;
  for (const letter of text) a = Math.imul(a ^ letter.codePointAt(0), 16777619);
  return () => { // mulberry32
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function shuffled(values, random) {
  const order = [...values];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// As many pairs of item and system as a listener should get: all systems equally often, an item again only when all have been heard
function balancedPairs(pairs, count, random) {
  const systems = shuffled([...new Set(pairs.map((pair) => pair.system))], random), used = new Map(), chosen = [];
  const left = new Map(systems.map((system) => [system, shuffled(pairs.filter((pair) => pair.system === system), random)]));
  while (chosen.length < count && chosen.length < pairs.length)
    for (const system of systems) {
      const own = left.get(system);
      if (!own.length || chosen.length >= count) continue;
      const times = (pair) => used.get(pair.item) ?? 0;
      const at = own.reduce((best, pair, i) => (times(pair) < times(own[best]) ? i : best), 0);
      const [pair] = own.splice(at, 1);
      used.set(pair.item, times(pair) + 1);
      chosen.push(pair);
    }
  return chosen;
}

function apart(trials) { // where it can be, no item twice in a row
  const clash = (i) => i > 0 && i < trials.length && trials[i].item === trials[i - 1].item;
  const clashes = (places) => places.filter((place) => clash(place) || clash(place + 1)).length;
  for (let i = 1; i < trials.length; i++)
    for (let j = 0; clash(i) && j < trials.length; j++) {
      const before = clashes([i, j]);
      [trials[i], trials[j]] = [trials[j], trials[i]];
      if (clashes([i, j]) >= before) [trials[i], trials[j]] = [trials[j], trials[i]];
    }
  return trials;
}

// A test and a listener code -> trials: { item, system, sounds, x?, check? }
export function planTrials(test, listener) {
  const random = seededRandom(`${test.seed}:${listener}`);
  let trials;
  if (test.kind === "mushra") {
    const items = shuffled([...new Set(test.stimuli.map((stimulus) => stimulus.item))], random).slice(0, test.length);
    trials = items.map((item) => ({ item, systems: shuffled(test.stimuli.filter((stimulus) => stimulus.item === item), random) }));
  } else {
    trials = apart(shuffled(balancedPairs(test.stimuli, test.length, random), random)).map((pair) => ({ ...pair }));
    if (test.kind === "abx") for (const trial of trials) { trial.swapped = random() < 0.5; trial.x = random() < 0.5 ? "a" : "b"; }
  }
  const every = Math.max(5, Math.floor(trials.length / 3));
  if (test.kind === "mos" || test.kind === "similarity")
    for (let at = every - 1 - Math.floor(random() * 3); at < trials.length; at += every)
      trials.splice(at, 0, { check: 1 + Math.floor(random() * 5) });
  return trials;
}

// A trial for practice: of an item that is not asked, or at least of another version, or (all are asked) the last one
export function planPractice(test, trials) {
  const asked = trials.filter((trial) => !trial.check), others = planTrials({ ...test, length: Infinity }, "practice").filter((trial) => !trial.check);
  const items = new Set(asked.map((trial) => trial.item)), sounds = new Set(asked.map((trial) => trial.sound));
  return others.find((trial) => !items.has(trial.item)) ?? others.find((trial) => trial.sound && !sounds.has(trial.sound)) ?? asked.at(-1);
}
