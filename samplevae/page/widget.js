// The instrument in a notebook, as an anywidget: weights come once, by a message with buffers, never in a trait.
import { local, readAnswer, remote } from "./backend.js";
import { mount } from "./instrument.js";

// A kernel's answers to the questions of this page, by number
function askKernel(model) {
  const open = new Map(), page = Math.random().toString(36).slice(2);
  let count = 0;
  model.on("msg:custom", (message, buffers) => {
    const resolve = message?.page === page && open.get(message.id);
    if (!resolve) return;
    open.delete(message.id);
    const [view] = buffers, bytes = view instanceof ArrayBuffer ? new Uint8Array(view) : new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    resolve(bytes.slice());
  });
  return (what, given = {}) => new Promise((resolve) => {
    const id = ++count;
    open.set(id, resolve);
    model.send(JSON.parse(JSON.stringify({ page, id, what, given }, (_, value) => ArrayBuffer.isView(value) ? [...value] : value)));
  });
}

async function openBackend(model, script) {
  const ask = askKernel(model);
  const pack = await ask("pack");
  if (model.get("in_page")) return local(pack, script, () => ask("encoder"));
  return remote("kernel", pack, async (what, given) => {
    const answer = readAnswer((await ask(what, given)).buffer);
    if (answer.error) throw new Error(answer.error);
    return answer;
  }, script);
}

export function makeWidget(script, style, body) {
  const backends = new WeakMap(); // one pair of workers for all views of a widget
  async function render({ model, el }) {
    const began = performance.now(), root = el.attachShadow({ mode: "open" });
    root.innerHTML = `<style>:host { display: block; }\n${style}</style>${body}`;
    el.dataset.lmSuppressShortcuts = "true"; // JupyterLab catches keys on their way down
    for (const type of ["keydown", "keyup", "keypress"]) el.addEventListener(type, (e) => e.stopPropagation());
    const status = root.querySelector('[data-el="run"]'), waiting = setTimeout(() => { status.textContent = "No kernel answers: run the cell again to play."; }, 15000);
    if (!backends.has(model)) backends.set(model, openBackend(model, script));
    let backend;
    try { backend = await backends.get(model); } catch (error) { status.textContent = `The instrument cannot be opened: ${error.message}.`; return; } finally { clearTimeout(waiting); }

    let own = "";
    const play = mount(root, backend, { keysOn: root, began }), { session } = play, key = (x) => JSON.stringify([...x]);
    const publish = () => {
      own = key(session.now.z);
      const { peak: _, ...macros } = session.descriptors;
      model.set("z", [...session.now.z]); model.set("macros", macros); model.save_changes();
    };
    session.on("sound", () => { clearTimeout(publish.timer); publish.timer = setTimeout(publish, 100); }); // when the hand is still
    const onVector = () => { const z = model.get("z"); if (z.length === session.N && key(z) !== own) session.go(z, { play: "" }); };
    const onMacros = async () => { // those that differ from what is heard are asked for
      const asked = Object.entries(model.get("macros")).filter(([name, value]) => session.index[name] !== undefined && Math.abs(value - session.descriptors[name]) > 1e-3);
      if (!asked.length) return;
      const { pitch, ...wanted } = Object.fromEntries(asked), z = Float32Array.from(session.now.z);
      if (pitch !== undefined && session.pitched) { z[0] = (pitch - 8) / 2; await session.decode(z); }
      await session.settle(wanted);
      session.remember();
    };
    await play.opened;
    model.on("change:z", onVector); model.on("change:macros", onMacros);
    if (model.get("z").length) onVector();
    const theme = () => { const { jpThemeLight: light } = document.body.dataset; if (light) play.setTheme(light === "false" ? "dark" : "light", false); }; // as JupyterLab is
    theme();
    const watcher = new MutationObserver(theme);
    watcher.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
    el.instrument = play;
    return () => { model.off("change:z", onVector); model.off("change:macros", onMacros); watcher.disconnect(); play.dispose(); };
  }
  return { render };
}
