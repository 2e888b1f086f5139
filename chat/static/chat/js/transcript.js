// The shown branch of the conversation, and where the reader has scrolled to.

import { MessageView } from "./message.js";
import { byId, make, text } from "./start.js";

const NEAR_THE_END = 40;

export class Transcript {
  constructor(tree, wishes) {
    this.tree = tree;
    this.wishes = { ...wishes, versions: (message) => tree.versions(message), choose: (id) => this.choose(id) };
    this.views = new Map();
    this.unsent = new Map();
    this.list = byId("transcript");
    this.scroller = byId("scroller");
    this.latest = byId("latest");
    this.isPinned = true;
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.latest.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.follow()).observe(this.list);
  }

  /** Show the branch; what is shown already keeps its element. */
  render() {
    const branch = this.tree.branch();
    const shown = branch.map((message) => this.viewOf(message).element);
    const unsent = [...this.unsent.values()];
    const wanted = new Set([...shown, ...unsent]);
    for (const element of [...this.list.children]) if (!wanted.has(element)) element.remove();
    [...shown, ...unsent].forEach((element, place) => {
      if (this.list.children[place] !== element) this.list.insertBefore(element, this.list.children[place] ?? null);
    });
    byId("welcome").hidden = wanted.size > 0;
    this.follow();
  }

  viewOf(message) {
    if (!this.views.has(message.id)) this.views.set(message.id, new MessageView(message, this.wishes));
    return this.views.get(message.id);
  }

  /** Bring one message up to date, and the version counts of those beside it. */
  update(message) {
    for (const version of this.tree.versions(message)) this.views.get(version.id)?.update();
    this.follow();
  }

  paint(message, keep, html) {
    this.viewOf(message).paint(keep, html);
    this.follow();
  }

  choose(id) {
    this.tree.choose(id);
    this.isPinned = false;
    this.render();
    for (const message of this.tree.branch()) this.viewOf(message).update();
    this.wishes.changed();
  }

  /** Show a message that the server has not confirmed yet. */
  showUnsent(clientId, content) {
    const element = make("article", "message user unsent");
    element.append(make("div", "text", content), make("div", "note", text("sending")));
    this.unsent.set(clientId, element);
    this.isPinned = true;
    this.render();
  }

  dropUnsent(clientId) {
    if (this.unsent.delete(clientId)) this.render();
  }

  scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.isPinned = scrollHeight - scrollTop - clientHeight < NEAR_THE_END;
    this.latest.hidden = this.isPinned;
  }

  /** Keep to the end, unless the reader has left it. */
  follow() {
    if (this.isPinned) this.scroller.scrollTop = this.scroller.scrollHeight;
    else this.scrolled();
  }

  toEnd() {
    this.isPinned = true;
    this.follow();
  }

  /** Change something above without moving what the reader sees. */
  keepingPlace(change) {
    const fromEnd = this.scroller.scrollHeight - this.scroller.scrollTop;
    this.isPinned = false;
    change();
    this.scroller.scrollTop = this.scroller.scrollHeight - fromEnd;
  }
}
