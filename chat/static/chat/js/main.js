// Puts the page together.

import { ApiError, changeSession, createSession, exportUrl } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { failure, monthWords, total } from "./facts.js";
import { Keys } from "./keys.js";
import { Sidebar } from "./sidebar.js";
import { byId, start, text } from "./start.js";

const SAID = { "reply.completed": "complete", "reply.failed": "failed", "reply.cancelled": "stopped" };
const ALERT_FOR = 8_000;

let current = null;
let isStarting = false;
let beginning = null;
let said = "";

const picker = byId("model");
const sidebar = new Sidebar(start.session_id, { changed: show, failed: alarm });
const composer = new Composer({ send, stop: () => conversation.stop(), session: sessionFor, failed: alarm });
const conversation = new Conversation({ changed, session: merge, updated, month: showMonth, refused, created });

/** Say something to screen readers, once: the stream itself is never announced. */
function announce(words) {
  if (words !== said) byId("status").textContent = said = words;
}

function alarm(words) {
  const banner = byId("banner");
  banner.textContent = words;
  banner.classList.add("bad");
  banner.hidden = false;
  setTimeout(() => {
    if (banner.textContent === words) banner.hidden = true;
  }, ALERT_FOR);
}

function refused(content, words, files = []) {
  composer.restore(content, files, current?.id);
  alarm(words);
}

/** Something about the shown branch moved; `ending` is how a reply just ended. */
function changed(ending = null) {
  const reply = conversation.tree.pending();
  composer.writing(Boolean(reply));
  if (ending) announce(text(SAID[ending]));
  else if (reply?.progress?.kind === "started") announce(text("generating"));
  else if (reply?.progress?.position) announce(text("queued_position", { position: reply.progress.position }));
}

/** The first message names a chat that has no title. */
function created(message) {
  if (message.role !== "user" || !current || current.title) return;
  const words = message.content.trim() || message.attachments[0].name;
  const title = words.split("\n")[0].trim().slice(0, 60);
  show({ ...current, title, last_activity_at: message.created_at });
  sidebar.put(current);
}

function merge(part) {
  if (part) show({ ...current, ...part });
}

/** Somebody renamed, archived or set it up otherwise, perhaps in another tab. */
function updated(session) {
  merge(session);
  if ([...picker.options].some((option) => option.value === session.model)) picker.value = session.model;
  sidebar.changed(current);
}

function showMonth(month) {
  byId("month-words").textContent = monthWords(month);
  byId("month").hidden = false;
  const share = month.limit?.share ?? null;
  const bar = byId("month-bar");
  bar.hidden = share === null;
  bar.value = Math.min(1, share ?? 0);
  bar.dataset.level = share >= 1 ? "full" : share >= 0.8 ? "high" : "";
}

function show(session) {
  current = session;
  const title = session.title || text("untitled");
  byId("title").textContent = title;
  document.title = `${title} · Tasuki`;
  byId("used").textContent = total(session);
  for (const link of byId("export-menu").querySelectorAll("a")) link.href = exportUrl(session.id, link.dataset.format);
  byId("export").hidden = false;
  byId("composer").hidden = session.state === "archived";
  byId("put-away").hidden = session.state !== "archived";
}

async function send(content, files) {
  if (isStarting) {
    composer.restore(content, files, current?.id);
    return;
  }
  if (!current && !(await begin(content))) return;
  conversation.say(content, files);
}

/** The session that a file goes into: it needs one before it is sent. */
async function sessionFor(name) {
  if (!current) await (beginning ??= begin(""));
  beginning = null;
  if (!current) throw new ApiError("network", name, 0);
  return current.id;
}

/** Make a session for the first message. */
async function begin(content) {
  isStarting = true;
  try {
    const session = await createSession({ model: picker.value });
    history.replaceState(null, "", `/chat/${session.id}/`);
    show(session);
    sidebar.put(session);
    conversation.open(session.id, null);
    return true;
  } catch (error) {
    refused(content, failure(error));
    return false;
  } finally {
    isStarting = false;
  }
}

picker.addEventListener("change", async () => {
  if (!current) return;
  const session = await changeSession(current.id, { model: picker.value }).catch((error) => alarm(failure(error)));
  if (session) merge(session);
  else picker.value = current.model;
});

byId("take-out").addEventListener("click", () => sidebar.unarchive(current));

new Keys({
  write: () => byId("text").focus(),
  stop: () => conversation.stop(),
  start: () => location.assign("/chat/"),
});

showMonth(start.month);
if (start.session_id) {
  conversation.open(start.session_id, start.snapshot);
} else {
  conversation.transcript.render();
}
if (matchMedia("(hover: hover)").matches) byId("text").focus();
