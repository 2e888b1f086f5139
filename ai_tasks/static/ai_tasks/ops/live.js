// Asks for the page's content again every few seconds and swaps it in; rests while nobody looks at the page.
const KEY = "tasuki.ops.pace";
const region = document.getElementById("live");
const bar = document.getElementById("live-bar");
const label = document.getElementById("live-state");
const pace = document.getElementById("live-pace");

let timer = 0;
let freshAt = new Date();
let isAsking = false;

const stored = () => {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // Storage may be forbidden.
  }
};

const keep = (value) => {
  try {
    localStorage.setItem(KEY, value);
  } catch {
    // It holds for this page alone then.
  }
};

const say = (state) => {
  bar.dataset.state = state;
  label.textContent = label.dataset[state].replace("%s", freshAt.toLocaleTimeString());
};

// How to find what has the focus once more.
const placeOf = (element) => {
  if (!region.contains(element)) return "";
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.matches("summary")) return `#${CSS.escape(element.parentElement.id)} > summary`;
  return element.matches("a[href]") ? `a[href="${CSS.escape(element.getAttribute("href"))}"]` : "";
};

// A form that somebody has begun to fill in is not put back.
const isChanged = (form) =>
  [...form.elements].some((each) =>
    each.matches("select")
      ? each.selectedIndex !== Math.max(0, [...each.options].findIndex((option) => option.defaultSelected))
      : each.checked !== each.defaultChecked || each.value !== each.defaultValue,
  );

// What the reader opened stays open, and where they are stays where it is.
const swap = (html) => {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  for (const open of region.querySelectorAll("details[id]")) {
    const twin = fresh.getElementById(open.id);
    if (twin) twin.open = open.open;
  }
  for (const form of region.querySelectorAll("form[id]")) {
    if (isChanged(form)) fresh.getElementById(form.getAttribute("id"))?.replaceWith(form);
  }
  const place = placeOf(document.activeElement);
  region.replaceChildren(...fresh.body.childNodes);
  if (place) region.querySelector(place)?.focus({ preventScroll: true });
};

const isBusy = () => region.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");

const ask = async () => {
  if (isAsking) return;
  isAsking = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Fragment": "1" }, redirect: "manual" });
    if (answer.type === "opaqueredirect" || answer.status === 403) return location.reload();
    if (!answer.ok) throw new Error(String(answer.status));
    const html = await answer.text();
    if (!isBusy()) swap(html);
    freshAt = new Date();
    say("fresh");
  } catch {
    say("lost");
  } finally {
    isAsking = false;
    plan();
  }
};

const plan = () => {
  clearTimeout(timer);
  const seconds = Number(pace.value);
  if (document.hidden || !seconds) return say("paused");
  timer = setTimeout(ask, seconds * 1000);
  return undefined;
};

document.querySelector("#ops-nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

if (region && bar && Number(region.dataset.seconds)) {
  if ([...pace.options].some((option) => option.value === stored())) pace.value = stored();
  pace.addEventListener("change", () => {
    keep(pace.value);
    if (Number(pace.value)) ask();
    else plan();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !Number(pace.value)) plan();
    else ask();
  });
  bar.hidden = false;
  say("fresh");
  plan();
}
