// One message as an element; it is made once and brought up to date.

import { fileUrl } from "./api.js";
import { copy } from "./clipboard.js";
import { facts, failure, progress } from "./facts.js";
import { button, make, text } from "./start.js";

export class MessageView {
  /** `wishes` has edit(message, content), regenerate(message), stop(message), choose(id) and versions(message). */
  constructor(message, wishes) {
    this.message = message;
    this.wishes = wishes;
    this.sources = [];
    this.element = make("article", `message ${message.role}`, "", { "data-id": message.id });
    this.text = make("div", message.role === "user" ? "text" : "text rich");
    this.extras = make("div", "extras");
    if (message.attachments?.length) this.element.append(this.attached());
    this.element.append(this.text, this.extras);
    this.update();
  }

  get isPending() {
    return this.message.state === "pending";
  }

  update() {
    this.element.dataset.state = this.message.state;
    if (this.message.role === "user") this.text.textContent = this.message.content;
    else if (!this.isPending) this.paint(0, this.message.html);
    this.extras.replaceChildren(...(this.isPending ? [this.progressLine()] : this.ended()));
  }

  /** Keep so many elements of the text and put sanitised HTML behind them; what is the same stays untouched. */
  paint(keep, html) {
    const parsed = document.createElement("template");
    parsed.innerHTML = html;
    let place = keep;
    for (const element of [...parsed.content.children]) {
      const source = element.outerHTML;
      if (this.sources[place] !== source) {
        this.sources[place] = source;
        this.addCopyButtons(element);
        if (this.text.children[place]) this.text.children[place].replaceWith(element);
        else this.text.append(element);
      }
      place += 1;
    }
    while (this.text.children.length > place) this.text.lastChild.remove();
    this.sources.length = place;
  }

  attached() {
    const list = make("ul", "attached");
    for (const file of this.message.attachments) {
      const url = fileUrl(this.message.session_id, file.id);
      const link = make("a", "file", "", { href: url, target: "_blank", rel: "noopener", "data-kind": file.kind });
      if (file.kind === "image") link.append(make("img", "", "", { src: url, alt: file.name, loading: "lazy" }));
      else link.append(make("span", "name", file.name, { title: file.name }));
      const item = make("li");
      item.append(link);
      list.append(item);
    }
    return list;
  }

  progressLine() {
    const line = make("div", "progress");
    line.append(make("span", "", progress(this.message)));
    const isQueued = this.message.progress?.kind === "queued";
    if (isQueued) line.append(button(text("cancel"), () => this.wishes.stop(this.message)));
    return line;
  }

  ended() {
    const { message } = this;
    const parts = [];
    if (message.state === "cancelled") parts.push(make("div", "note", text("stopped")));
    if (message.state === "failed") parts.push(this.failureBox());
    parts.push(this.foot());
    return parts;
  }

  failureBox() {
    const box = make("div", "failure");
    const retry = button(text("retry"), () => this.wishes.regenerate(this.message), "button outlined");
    box.append(make("span", "", failure(this.message.error)), retry);
    return box;
  }

  foot() {
    const { message } = this;
    const foot = make("div", "foot");
    const versions = this.versions();
    if (versions) foot.append(versions);
    if (message.content) foot.append(button(text("copy"), (event) => copy(message.content, event.currentTarget)));
    if (message.role === "user") {
      foot.append(button(text("edit"), () => this.edit()));
    } else {
      if (message.state !== "failed") foot.append(button(text("regenerate"), () => this.wishes.regenerate(message)));
      foot.append(make("span", "facts", facts(message)));
    }
    return foot;
  }

  versions() {
    const all = this.wishes.versions(this.message);
    if (all.length < 2) return null;
    const place = all.findIndex((each) => each.id === this.message.id);
    const values = { number: place + 1, count: all.length };
    const line = make("span", "versions", "", { role: "group", "aria-label": text("versions", values) });
    const label = make("span", "", `${place + 1}/${all.length}`);
    line.append(this.step("‹", "previous", all[place - 1]), label, this.step("›", "next", all[place + 1]));
    return line;
  }

  step(sign, name, target) {
    const step = button(sign, () => this.wishes.choose(target.id), "", { "aria-label": text(name) });
    step.disabled = !target;
    return step;
  }

  edit() {
    const form = make("form", "editor");
    const area = make("textarea", "field", "", { maxlength: "100000", "aria-label": text("edit") });
    area.value = this.message.content;
    const choices = make("div", "choices");
    choices.append(button(text("cancel"), () => this.endEdit(form), "button outlined"));
    choices.append(make("button", "button primary", text("save"), { type: "submit" }));
    form.append(area, choices);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (area.value.trim() || this.message.attachments?.length) this.wishes.edit(this.message, area.value);
      this.endEdit(form);
    });
    this.text.hidden = this.extras.hidden = true;
    this.element.append(form);
    area.focus();
  }

  endEdit(form) {
    form.remove();
    this.text.hidden = this.extras.hidden = false;
  }

  addCopyButtons(element) {
    const blocks = element.matches(".code") ? [element] : element.querySelectorAll(".code");
    for (const block of blocks) {
      const content = () => block.querySelector("code").textContent;
      block.querySelector(".code-head")?.append(button(text("copy"), (event) => copy(content(), event.currentTarget)));
    }
  }
}
