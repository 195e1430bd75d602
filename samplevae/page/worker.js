// What happens off the page's thread: `serve` answers in a worker what `connect` (connect.js) asks of it.
import { DESCRIPTORS, describe, spectrogram } from "./descriptors.js";
import { Model } from "./model.js";
import { readPack } from "./pack.js";

// Of decodings that wait, only the newest is done.
export function serve(scope) {
  let model = null, waiting = null, busy = false;

  const decode = (z, seed) => {
    const { wave, tone, octaves } = model.decode(z, { seed, parts: true });
    return { wave, octaves, descriptors: describe(wave, model.rate, tone, octaves, model.oscillator ? 8 + 2 * z[0] : 0) };
  };
  const answers = {
    async open({ bytes, kernels }) {
      const began = performance.now(), pack = await readPack(bytes), read = performance.now();
      model = new Model(pack, { kernels });
      model.decode(new Float32Array(model.config.numbers)); // compile before the first sound is asked for
      const { tensors, ...about } = pack, data = {};
      for (const [name, tensor] of Object.entries(tensors)) if (name.startsWith("data.")) data[name.slice(5)] = tensor;
      return { about, data, kind: model.space.kind, times: { unpack: read - began, model: performance.now() - read } };
    },
    // early: the sound alone, which can be played while it is being described
    decode({ z, seed = 0 }, early) {
      const began = performance.now(), { wave, tone, octaves } = model.decode(z, { seed, parts: true }), took = performance.now() - began;
      early({ wave });
      const descriptors = describe(wave, model.rate, tone, octaves, model.oscillator ? 8 + 2 * z[0] : 0);
      return { wave, octaves, descriptors, picture: spectrogram(wave, 192), took };
    },
    describe({ wave, tone, octaves, pitch, rate }) {
      return { wave, octaves, descriptors: describe(wave, rate, tone, octaves, pitch), picture: spectrogram(wave, 192) };
    },
    waves({ vectors, seed = 0 }) { return { waves: vectors.map((z) => model.decode(z, { seed })) }; },
    // descriptors x numbers of a vector, by central differences; the pitch and its confidence count as known
    jacobian({ z, steps, seed = 0 }) {
      const columns = [...z].map((_, k) => {
        if (k < model.config.pitch_dims) return null;
        const [up, down] = [1, -1].map((sign) => decode(Float32Array.from(z, (x, i) => x + (i === k ? sign * steps[k] : 0)), seed).descriptors);
        return DESCRIPTORS.map((name) => (up[name] - down[name]) / (2 * steps[k]));
      });
      return { jacobian: DESCRIPTORS.map((_, i) => columns.map((column) => column ? column[i] : 0)) };
    },
    // of several vectors the one whose descriptors are nearest to what is wanted
    nearest({ vectors, wanted, std, seed = 0 }) {
      let best = null, least = Infinity;
      for (const z of vectors) {
        const { descriptors } = decode(z, seed);
        const distance = Object.keys(wanted).reduce((sum, name) => sum + ((descriptors[name] - wanted[name]) / std[name]) ** 2, 0);
        if (distance < least) { least = distance; best = z; }
      }
      return { z: best };
    },
    async openEncoder({ bytes }) { model.addEncoder(await readPack(bytes)); return {}; },
    encode({ wave }) { return { z: model.encode(wave) }; },
    toVector({ bases }) { return { vectors: bases.map((base) => model.prior.toVector(base)) }; },
    toBase({ z }) { return { base: model.prior.toBase(z) }; },
  };

  const run = async ({ id, what, ...rest }) => {
    try {
      const result = await answers[what](rest, (early) => scope.postMessage({ id, early }));
      scope.postMessage({ id, ...result }, what === "decode" ? [result.wave.buffer] : []);
    } catch (error) { scope.postMessage({ id, error: String(error?.message ?? error) }); }
  };
  const next = async () => {
    if (busy || !waiting) return;
    const message = waiting;
    busy = true; waiting = null;
    await run(message);
    busy = false;
    yieldTo.postMessage(0); // let messages in: there may be a newer one
  };
  const { port1, port2: yieldTo } = new MessageChannel(); // sooner than a timer
  port1.onmessage = next;
  scope.onmessage = ({ data }) => {
    if (!data.newest) return run(data);
    if (waiting) scope.postMessage({ id: waiting.id, dropped: true });
    waiting = data;
    yieldTo.postMessage(0);
  };
}
