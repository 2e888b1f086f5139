// What is told beside messages: progress while one is written, model, tokens and cost when it is there.

import { dollars, number, percent, text, time } from "./start.js";

const SOON = 5_000;

export const provider = (model) => (model ?? "").split("/")[0];

const switched = ({ from, to }) => text("fallback", { from: provider(from), to: provider(to) });

/** The line under a reply that is being written. */
export function progress(message) {
  const told = message.progress ?? { kind: "queued" };
  if (told.kind === "started") {
    const words = text("generating_by", { model: `${told.provider}/${told.model}` });
    const parts = [words];
    if (message.isRestarted) parts.push(text("restarted"));
    if (message.fallback) parts.push(switched(message.fallback));
    return parts.join(" · ");
  }
  const parts = [told.position ? text("queued_position", { position: number(told.position) }) : text("queued")];
  const reason = told.reason && text(`reason_${told.reason}`, {}, "");
  if (reason) parts.push(reason);
  const far = told.expected_start && Date.parse(told.expected_start) - Date.now() > SOON;
  if (far) parts.push(text("starts_at", { time: time(told.expected_start) }));
  return parts.join(" · ");
}

/** The line under a reply that has ended. */
export function facts(message) {
  const parts = [];
  if (message.answered_by) parts.push(message.answered_by);
  if (message.usage) {
    const values = { input: number(message.usage.input_tokens), output: number(message.usage.output_tokens) };
    parts.push(text("tokens", values));
  }
  if (message.usage || message.cost_usd) parts.push(dollars(message.cost_usd));
  if (message.fallback) {
    parts.push(switched(message.fallback));
  }
  return parts.join(" · ");
}

/** The header's line: what the whole session used. */
export function total(session) {
  if (!session?.usage) return "";
  return `${text("total_tokens", { tokens: number(session.usage.total_tokens) })} · ${dollars(session.cost_usd)}`;
}

/** An error in words. */
export function failure(error) {
  return text(`error_${error?.code}`, {}, error?.message || text("error"));
}

/** What the month has used, of what is allowed. */
export function monthWords({ total_tokens: tokens, cost_usd: cost, limit }) {
  const parts = [text("total_tokens", { tokens: number(tokens) }), dollars(cost)];
  if (limit?.limit_usd) parts[1] = text("of_limit", { used: dollars(limit.used_usd), limit: dollars(limit.limit_usd) });
  else if (limit) parts.push(text("of_budget", { share: percent(limit.share) }));
  return `${text("this_month")}: ${parts.join(" · ")}`;
}
