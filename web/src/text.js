// Every word people read comes from the dictionary.
import texts from '../en.json';

export const t = (key, values) => {
  const text = texts[key] ?? key;
  return values ? text.replace(/\{(\w+)\}/g, (_, name) => values[name]) : text;
};
// Texts of a page of its own.
export const learn = (more) => Object.assign(texts, more);
export const has = (key) => key in texts;
