// The conversation as a tree: messages with the same parent are versions of each other, the newest branch is shown.

export class Tree {
  constructor() {
    this.messages = new Map();
    this.leaf = null; // The end of the branch that the reader chose; null: the newest.
  }

  /** Take in a message; a new one brings its branch to the front. */
  add(message) {
    const known = this.messages.get(message.id);
    if (!known && message.number > this.newestNumber()) this.leaf = null;
    this.messages.set(message.id, known ? Object.assign(known, message) : { seq: 0, ...message });
  }

  get(id) {
    return this.messages.get(id);
  }

  newestNumber() {
    return Math.max(0, ...[...this.messages.values()].map((message) => message.number));
  }

  oldestNumber() {
    return Math.min(...[...this.messages.values()].map((message) => message.number));
  }

  end() {
    return this.get(this.leaf) ?? this.newestOf([...this.messages.values()]);
  }

  newestOf(messages) {
    return messages.reduce((newest, each) => (!newest || each.number > newest.number ? each : newest), null);
  }

  /** The shown branch, first message first. */
  branch() {
    const found = [];
    for (let message = this.end(); message; message = this.get(message.parent_id)) found.unshift(message);
    return found;
  }

  children(id) {
    return [...this.messages.values()].filter((message) => message.parent_id === id);
  }

  /** All versions of a message, oldest first. */
  versions(message) {
    const same = this.children(message.parent_id).filter((each) => each.role === message.role);
    return same.sort((one, other) => one.number - other.number);
  }

  /** Show the branch that goes through this message, to its newest end. */
  choose(id) {
    let end = this.get(id);
    for (let next = end; next; next = this.newestOf(this.children(next.id))) end = next;
    this.leaf = end.id === this.newestOf([...this.messages.values()]).id ? null : end.id;
  }

  /** The reply on the shown branch that is being written, or the first that waits, if any. */
  pending() {
    return this.branch().find((message) => message.state === "pending") ?? null;
  }
}
