// The message field: Enter sends, Shift+Enter makes a line, an input method's Enter does neither.

import { Files } from "./files.js";
import { byId, text } from "./start.js";

const IME_KEY = 229; // What some browsers report while an input method composes.

export class Composer {
  /** `on` has send(content, files), stop(), session(name) and failed(words). */
  constructor(on) {
    this.on = on;
    this.field = byId("text");
    this.button = byId("send");
    this.isWriting = false;
    byId("composer").addEventListener("submit", (event) => this.submitted(event));
    this.field.addEventListener("keydown", (event) => this.pressed(event));
    this.field.addEventListener("input", () => this.update());
    const { session, failed } = on;
    this.files = new Files({ session, failed, changed: () => this.files && this.update() });
    this.update();
  }

  get content() {
    return this.field.value;
  }

  get stops() {
    return this.isWriting && this.isEmpty;
  }

  get isEmpty() {
    return !this.content.trim() && this.files.all.length === 0;
  }

  pressed(event) {
    const composes = event.isComposing || event.keyCode === IME_KEY;
    if (event.key !== "Enter" || event.shiftKey || composes) return;
    event.preventDefault();
    this.send();
  }

  submitted(event) {
    event.preventDefault();
    if (this.stops) {
      this.on.stop();
      this.field.focus();
      return;
    }
    this.send();
  }

  send() {
    const { content } = this;
    if (this.isEmpty || this.files.isUploading) return;
    this.field.value = "";
    const files = this.files.take();
    this.update();
    this.on.send(content, files);
  }

  /** Put back what could not be sent, unless something new stands there. */
  restore(content, files = [], sessionId = null) {
    if (content && !this.content) this.field.value = content;
    this.files.restore(files, sessionId);
    this.update();
    this.field.focus();
  }

  /** A reply is being written, or none is. */
  writing(isWriting) {
    this.isWriting = isWriting;
    this.update();
  }

  update() {
    this.button.textContent = this.stops ? text("stop") : text("send");
    this.button.dataset.does = this.stops ? "stop" : "send";
    this.button.disabled = !this.stops && (this.isEmpty || this.files.isUploading);
    if (!CSS.supports("field-sizing", "content")) this.fit();
  }

  fit() {
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }
}
