// Copying, also where the Clipboard API is missing: it exists in secure contexts only.

import { text } from "./start.js";

const SHOWN_FOR = 1500;

async function write(content) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(content);
    return;
  }
  const area = document.createElement("textarea");
  area.value = content;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

/** Copy, and say so on the button for a moment. */
export async function copy(content, button) {
  try {
    await write(content);
  } catch {
    return; // The reader refused it.
  }
  button.textContent = text("copied");
  setTimeout(() => (button.textContent = text("copy")), SHOWN_FOR);
}
