// Choosing many chats: the ones that were ticked, or all that the search finds, also those that are not shown.

import { changeSessions, exportAllUrl } from "./api.js";
import { failure } from "./facts.js";
import { byId, make, number, text } from "./start.js";

export class Selection {
  /** `list` is the sidebar: sessions, filters(), hasMore, isArchive, render(), search(); `failed` takes words. */
  constructor(list, failed) {
    this.list = list;
    this.failed = failed;
    this.isOn = false;
    this.ids = new Set();
    this.isAll = false;
    byId("select").addEventListener("click", () => this.turn(!this.isOn));
    byId("select-all").addEventListener("click", () => this.all());
    byId("bulk-archive").addEventListener("click", () => this.apply(this.list.isArchive ? "unarchive" : "archive"));
    byId("bulk-delete").addEventListener("click", () => this.askToDelete());
    byId("bulk-delete-form").addEventListener("submit", (event) => {
      event.preventDefault();
      byId("bulk-delete-dialog").close();
      this.apply("delete");
    });
  }

  turn(isOn) {
    this.isOn = isOn;
    byId("select").setAttribute("aria-pressed", String(isOn));
    byId("bulk").hidden = !isOn;
    this.clear();
  }

  /** Choose nothing; what was chosen may not be listed any more. */
  clear() {
    this.ids.clear();
    this.isAll = false;
    this.list.render();
    this.update();
  }

  all() {
    this.isAll = true;
    for (const session of this.list.sessions) this.ids.add(session.id);
    this.list.render();
    this.update();
  }

  box(session, title) {
    const box = make("input", "", "", { type: "checkbox", "aria-label": text("select", { title }) });
    box.checked = this.isAll || this.ids.has(session.id);
    box.addEventListener("change", () => {
      this.isAll = false;
      if (box.checked) this.ids.add(session.id);
      else this.ids.delete(session.id);
      this.update();
    });
    return box;
  }

  get words() {
    const isMore = this.isAll && this.list.hasMore;
    return isMore ? text("all_found") : text("chosen", { count: number(this.ids.size) });
  }

  update() {
    byId("chosen").textContent = this.words;
    byId("bulk-archive").textContent = text(this.list.isArchive ? "unarchive" : "archive");
    for (const id of ["bulk-archive", "bulk-delete"]) byId(id).disabled = !this.ids.size;
    const chosen = this.isAll ? this.list.filters() : { ids: [...this.ids].join(",") };
    byId("bulk-export").href = exportAllUrl(chosen);
    byId("bulk-export").hidden = !this.ids.size;
  }

  askToDelete() {
    byId("bulk-delete-count").textContent = this.words;
    byId("bulk-delete-dialog").showModal();
  }

  async apply(action) {
    const wish = this.isAll ? { matching: this.list.filters() } : { ids: [...this.ids] };
    const ids = [...this.ids];
    const done = await changeSessions({ action, ...wish }).catch((error) => this.failed(failure(error)));
    if (!done) return;
    this.turn(false);
    await this.list.search();
    this.list.gone(ids, action);
  }
}
