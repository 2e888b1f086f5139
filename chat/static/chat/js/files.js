// The files of the message that is being written: chosen, pasted or dropped, uploaded at once, shown beside the field.

import { attach, detach } from "./api.js";
import { failure } from "./facts.js";
import { button, byId, make, text } from "./start.js";

const MOST = 10;
const LARGEST = 5_000_000;

export class Files {
  /** `on` has session(): the id of the session, made if there is none yet; changed(), and failed(words). */
  constructor(on) {
    this.on = on;
    this.all = [];
    this.list = byId("files");
    const input = byId("file");
    byId("attach").addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      this.add([...input.files]);
      input.value = "";
    });
    byId("text").addEventListener("paste", (event) => this.came(event, event.clipboardData));
    const target = byId("app");
    target.addEventListener("dragover", (event) => this.dragged(event));
    target.addEventListener("dragleave", (event) => event.relatedTarget || this.mark(false));
    target.addEventListener("drop", (event) => {
      this.mark(false);
      this.came(event, event.dataTransfer);
    });
  }

  get isUploading() {
    return this.all.some((each) => !each.told);
  }

  dragged(event) {
    if (![...event.dataTransfer.types].includes("Files") || byId("composer").hidden) return;
    event.preventDefault();
    this.mark(true);
  }

  mark(isOver) {
    byId("composer").classList.toggle("drop", isOver);
  }

  came(event, data) {
    if (!data.files.length || byId("composer").hidden) return;
    event.preventDefault();
    this.add([...data.files]);
  }

  async add(files) {
    for (const file of files) {
      if (this.all.length >= MOST) return this.on.failed(text("files_most", { count: MOST }));
      if (file.size > LARGEST) {
        this.on.failed(text("file_too_large", { name: file.name }));
        continue;
      }
      await this.upload(file);
    }
  }

  async upload(file) {
    const entry = { name: file.name || text("picture"), told: null };
    this.all.push(entry);
    this.show();
    try {
      const sessionId = await this.on.session(entry.name);
      entry.told = await attach(sessionId, file);
      if (this.all.includes(entry)) entry.sessionId = sessionId;
      else await detach(sessionId, entry.told.id);
    } catch (error) {
      this.drop(entry);
      const isRefused = error.code === "invalid_input";
      this.on.failed(isRefused ? text("file_refused", { name: entry.name }) : `${entry.name}: ${failure(error)}`);
    }
    this.show();
  }

  drop(entry) {
    this.all = this.all.filter((each) => each !== entry);
    this.show();
  }

  remove(entry) {
    this.drop(entry);
    if (entry.told) detach(entry.sessionId, entry.told.id).catch(() => null);
    byId("text").focus();
  }

  /** Hand over what was uploaded; nothing stays. */
  take() {
    const taken = this.all.map((each) => each.told);
    this.all = [];
    this.show();
    return taken;
  }

  /** Put back what could not be sent. */
  restore(taken, sessionId) {
    this.all.unshift(...taken.map((told) => ({ name: told.name, told, sessionId })));
    this.show();
  }

  show() {
    this.list.replaceChildren(...this.all.map((entry) => this.chip(entry)));
    this.list.hidden = this.all.length === 0;
    this.on.changed();
  }

  chip(entry) {
    const chip = make("li", `file${entry.told ? "" : " uploading"}`, "", { "data-kind": entry.told?.kind ?? "" });
    const label = text("remove_file", { name: entry.name });
    chip.append(make("span", "name", entry.name, { title: entry.name }));
    chip.append(button("×", () => this.remove(entry), "", { "aria-label": label }));
    return chip;
  }
}
