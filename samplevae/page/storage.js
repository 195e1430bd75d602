// What a browser keeps from one visit to the next. A private window keeps nothing: then `toStorage` says false.
export function fromStorage(key, otherwise = null) {
  try { return JSON.parse(localStorage.getItem(`samplevae:${key}`)) ?? otherwise; } catch { return otherwise; }
}

export function toStorage(key, value) {
  try { localStorage.setItem(`samplevae:${key}`, JSON.stringify(value)); return true; } catch { return false; }
}
