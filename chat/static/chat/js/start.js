// What the server put into the page: the session, its snapshot, and the texts in the reader's language.

export const start = JSON.parse(document.getElementById("start").textContent);
export const byId = (id) => document.getElementById(id);

/** The text of that name with `{name}`s filled in; an unknown name gives the fallback. */
export function text(name, values = {}, fallback = name) {
  const pattern = start.texts[name] ?? fallback;
  return pattern.replace(/\{(\w+)\}/g, (whole, key) => values[key] ?? whole);
}

const numbers = new Intl.NumberFormat(start.language);
const clock = new Intl.DateTimeFormat(start.language, { hour: "2-digit", minute: "2-digit" });

const percents = new Intl.NumberFormat(start.language, { style: "percent" });

export const number = (value) => numbers.format(value);
export const percent = (share) => percents.format(share);
export const time = (iso) => clock.format(new Date(iso));

/** A decimal string as dollars, with as many digits as it needs. */
export function dollars(cost) {
  if (cost === null || cost === undefined) return text("no_price");
  const value = Number(cost);
  if (value === 0) return "$0";
  if (value >= 1) return `$${value.toFixed(2)}`;
  return `$${value.toFixed(Math.max(4, 1 - Math.floor(Math.log10(value))))}`;
}

/** An element with a class, text and attributes. */
export function make(tag, className = "", content = "", attributes = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (content) element.textContent = content;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** A button that does something. */
export function button(label, onClick, className = "", attributes = {}) {
  const element = make("button", className, label, { type: "button", ...attributes });
  element.addEventListener("click", onClick);
  return element;
}
