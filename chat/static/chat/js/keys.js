// Keyboard shortcuts, and the switch for those who do not want them.

import { byId } from "./start.js";

const SWITCH = "tasuki.shortcuts";
const FIELDS = "input, textarea, select, [contenteditable]";

const isOpen = () => document.querySelector("dialog[open], :popover-open") !== null;

function isOn() {
  try {
    return localStorage.getItem(SWITCH) !== "off";
  } catch {
    return true; // Storage may be forbidden.
  }
}

function turn(on) {
  try {
    localStorage.setItem(SWITCH, on ? "on" : "off");
  } catch {
    // It cannot be remembered then.
  }
}

export class Keys {
  /** `on` has write(), stop() and start(). */
  constructor(on) {
    this.on = on;
    this.isOn = isOn();
    const box = byId("shortcuts-on");
    box.checked = this.isOn;
    box.addEventListener("change", () => turn((this.isOn = box.checked)));
    byId("help").addEventListener("click", () => this.showHelp());
    document.addEventListener("keydown", (event) => this.pressed(event));
  }

  showHelp() {
    byId("help-dialog").showModal();
  }

  pressed(event) {
    if (!this.isOn || event.defaultPrevented || event.isComposing || isOpen()) return;
    const act = this.meaning(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  meaning(event) {
    const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
    if ((event.ctrlKey || event.metaKey) && event.shiftKey && event.code === "KeyO") return () => this.on.start();
    if (hasModifier) return null;
    if (event.key === "Escape" && !byId("app").classList.contains("drawer-open")) return () => this.on.stop();
    if (event.target.closest?.(FIELDS)) return null;
    return { "/": () => this.on.write(), "?": () => this.showHelp() }[event.key] ?? null;
  }
}
