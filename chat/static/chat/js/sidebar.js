// The list of chats: grouped by day, searched on the server, renamed, archived, deleted.

import { changeSession, deleteSession, exportUrl, findSessions } from "./api.js";
import { failure } from "./facts.js";
import { Selection } from "./selection.js";
import { button, byId, make, text } from "./start.js";

const TYPING_PAUSE = 250;
const SHOWN_AT_FIRST = 100;
const DAY = 86_400_000;

const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate());

function dayOf(iso) {
  const days = Math.round((midnight(new Date()) - midnight(new Date(iso))) / DAY);
  return text(days <= 0 ? "today" : days === 1 ? "yesterday" : "earlier");
}

export class Sidebar {
  /** `on` has changed(session) and failed(words). */
  constructor(chosenId, on) {
    this.chosenId = chosenId;
    this.on = on;
    this.isArchive = false;
    this.list = byId("sessions");
    this.sessions = [...this.list.querySelectorAll("[data-id]")].map((item) => ({
      id: item.dataset.id,
      title: item.querySelector("a").textContent.trim(),
      last_activity_at: item.dataset.at,
    }));
    this.next = this.sessions.length < SHOWN_AT_FIRST ? null : "";
    this.selection = new Selection(this, (words) => on.failed(words));
    this.wireSearch();
    this.wireMenu();
    this.wireDialogs();
    this.wireDrawer();
    this.render();
  }

  wireSearch() {
    byId("search-form").addEventListener("submit", (event) => event.preventDefault());
    byId("search").addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.search(), TYPING_PAUSE);
    });
    byId("archive-toggle").addEventListener("click", (event) => {
      this.isArchive = !this.isArchive;
      event.currentTarget.textContent = text(this.isArchive ? "show_chats" : "show_archive");
      this.selection.turn(false);
      this.search();
    });
    byId("more-sessions").addEventListener("click", () => this.search(this.next));
  }

  get hasMore() {
    return this.next !== null;
  }

  /** What the list shows, as the server's filters. */
  filters() {
    const words = byId("search").value.trim();
    const state = this.isArchive ? "archived" : "open";
    return words ? { q: words, state } : { state };
  }

  /** Show what is found, or, with a cursor, more of it. */
  async search(cursor = null) {
    const asked = (this.asked = {});
    const page = cursor ? { cursor } : {};
    const found = await findSessions({ ...this.filters(), ...page }).catch((error) => this.on.failed(failure(error)));
    if (!found || asked !== this.asked) return; // A newer search is on its way.
    const known = new Set(found.data.map((each) => each.id));
    const kept = cursor === null ? [] : this.sessions.filter((each) => !known.has(each.id));
    this.sessions = [...kept, ...found.data].sort((one, other) =>
      other.last_activity_at.localeCompare(one.last_activity_at),
    );
    this.next = found.next;
    if (cursor === null && this.selection.isOn) this.selection.clear();
    this.render();
  }

  render() {
    this.list.replaceChildren();
    let day = "";
    for (const session of this.sessions) {
      const its = dayOf(session.last_activity_at);
      if (its !== day) this.list.append(make("li", "day", (day = its)));
      this.list.append(this.item(session));
    }
    if (!this.sessions.length) this.list.append(make("li", "none", text("no_sessions")));
    byId("more-sessions").hidden = !this.hasMore;
  }

  item(session) {
    const isChosen = session.id === this.chosenId;
    const item = make("li", `session${isChosen ? " chosen" : ""}`, "", { "data-id": session.id });
    const title = session.title || text("untitled");
    const link = make("a", "", title, { href: `/chat/${session.id}/` });
    if (isChosen) link.setAttribute("aria-current", "page");
    const label = { "aria-label": text("more", { title }), "aria-haspopup": "true" };
    if (this.selection?.isOn) item.append(this.selection.box(session, title));
    item.append(link, button("⋯", (event) => this.openMenu(session, event.currentTarget), "more", label));
    return item;
  }

  /** Show a session that is new or has changed. */
  put(session) {
    this.chosenId = session.id;
    const others = this.sessions.filter((each) => each.id !== session.id);
    const isListed = (session.state === "archived") === this.isArchive;
    this.sessions = isListed ? [session, ...others] : others;
    this.render();
  }

  /** Show what has become of a listed session. */
  changed(session) {
    if (this.sessions.some((each) => each.id === session.id)) this.replace(session);
  }

  replace(changed) {
    const isListed = (changed.state === "archived") === this.isArchive;
    this.sessions = this.sessions.flatMap((each) => (each.id !== changed.id ? [each] : isListed ? [changed] : []));
    this.render();
  }

  /** Many were archived, taken out or deleted, the shown one among them. */
  gone(ids, action) {
    if (action === "delete" && ids.includes(this.chosenId)) location.assign("/");
  }

  wireMenu() {
    this.menu = byId("menu");
    for (const choice of this.menu.querySelectorAll("button[data-action]")) {
      choice.addEventListener("click", () => {
        this.menu.hidePopover();
        this[choice.dataset.action](this.target);
      });
    }
  }

  openMenu(session, opener) {
    this.target = session;
    this.menu.querySelector("[data-action=archive]").hidden = this.isArchive;
    this.menu.querySelector("[data-action=unarchive]").hidden = !this.isArchive;
    for (const link of this.menu.querySelectorAll("a")) link.href = exportUrl(session.id, link.dataset.format);
    this.menu.showPopover();
    const place = opener.getBoundingClientRect();
    const lowest = innerHeight - this.menu.offsetHeight - 8;
    this.menu.style.left = `${Math.max(8, Math.min(place.left, innerWidth - this.menu.offsetWidth - 8))}px`;
    this.menu.style.top = `${Math.min(place.bottom + 4, lowest)}px`;
    this.menu.querySelector("button:not([hidden])").focus();
  }

  wireDialogs() {
    for (const dialog of document.querySelectorAll("dialog")) {
      for (const closer of dialog.querySelectorAll("[data-close]")) closer.addEventListener("click", () => dialog.close());
    }
    this.onSubmit("rename", () => this.apply(this.target, { title: byId("new-title").value.trim() }));
    this.onSubmit("delete", () => this.remove(this.target));
  }

  onSubmit(name, act) {
    byId(`${name}-form`).addEventListener("submit", (event) => {
      event.preventDefault();
      byId(`${name}-dialog`).close();
      act();
    });
  }

  rename(session) {
    byId("new-title").value = session.title;
    byId("rename-dialog").showModal();
    byId("new-title").select();
  }

  delete(session) {
    byId("delete-title").textContent = session.title || text("untitled");
    byId("delete-dialog").showModal();
  }

  archive(session) {
    return this.apply(session, { state: "archived" });
  }

  unarchive(session) {
    return this.apply(session, { state: "active" });
  }

  async apply(session, change) {
    const changed = await changeSession(session.id, change).catch((error) => this.on.failed(failure(error)));
    if (!changed) return;
    this.replace(changed);
    if (changed.id === this.chosenId) this.on.changed(changed);
  }

  async remove(session) {
    try {
      await deleteSession(session.id);
    } catch (error) {
      this.on.failed(failure(error));
      return;
    }
    this.sessions = this.sessions.filter((each) => each.id !== session.id);
    this.render();
    if (session.id === this.chosenId) location.assign("/");
  }

  wireDrawer() {
    const app = byId("app");
    const opener = byId("open-sidebar");
    const show = (isOpen) => {
      app.classList.toggle("drawer-open", isOpen);
      opener.setAttribute("aria-expanded", String(isOpen));
      if (isOpen) byId("search").focus();
      else opener.focus();
    };
    opener.addEventListener("click", () => show(true));
    byId("curtain").addEventListener("click", () => show(false));
    document.addEventListener("keydown", (event) => {
      const isCovered = document.querySelector("dialog[open], :popover-open");
      if (event.key === "Escape" && !isCovered && app.classList.contains("drawer-open")) show(false);
    });
  }
}
