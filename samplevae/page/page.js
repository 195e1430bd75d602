// A page of its own: the weights stand in it, or a server on this machine has them.
import { http, local } from "./backend.js";
import { mount } from "./instrument.js";
import { fromBase64 } from "./pack.js";

const textOf = (id) => document.getElementById(id)?.textContent ?? "";

export async function openPage() {
  try {
    if (typeof AudioContext === "undefined") throw new Error("it plays no sound");
    const pack = textOf("pack"), script = textOf("worker");
    let backend;
    if (pack) {
      document.getElementById("pack").remove();
      backend = await local(fromBase64(pack), script, async () => fromBase64(textOf("encoder")));
    } else {
      const key = location.hash.slice(1) || sessionStorage.getItem("key"); // which a reload would lose
      sessionStorage.setItem("key", key);
      history.replaceState(null, "", location.pathname);
      backend = await http(key, script);
    }
    window.instrument = mount(document.body, backend, { keysOn: document, hash: !!pack }); // performance.now() counts from when the page was asked for
  } catch (error) {
    document.querySelector('[data-el="run"]').textContent = `This browser cannot open the instrument: ${error.message}.`;
  }
}
