// The page's side of worker.js.

// From outside: a function that asks and promises. `early` is called with what is ready before the rest.
export function connect(worker) {
  const open = new Map();
  let count = 0;
  worker.onmessage = ({ data: { id, ...rest } }) => {
    const { resolve, reject, early } = open.get(id);
    if (rest.early) return early?.(rest.early);
    open.delete(id);
    if (rest.error) reject(new Error(rest.error)); else resolve(rest);
  };
  worker.onerror = (event) => { for (const { reject } of open.values()) reject(new Error(event.message || "the worker stopped")); open.clear(); };
  return (what, rest = {}, early) => new Promise((resolve, reject) => { open.set(++count, { resolve, reject, early }); worker.postMessage({ id: count, what, ...rest }); });
}
