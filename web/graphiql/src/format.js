/** Format numbers, times and reasons. */
const NUMBER = new Intl.NumberFormat("en-GB");
const THREE_DIGITS = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });
const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export function formatCount(count = 0, noun) {
  return `${NUMBER.format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

export function formatMilliseconds(ms = 0) {
  return `${ms < 10 ? ms.toFixed(1) : NUMBER.format(Math.round(ms))} ms`;
}

export function formatBytes(bytes = 0) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${THREE_DIGITS.format(bytes / 1000)} kB` : `${THREE_DIGITS.format(bytes / 1_000_000)} MB`;
}

export function formatTime(iso) {
  return TIME.format(new Date(iso));
}

/** Return a reason as a sentence; names keep their case. */
export function formatReason(text) {
  const plain = text.replaceAll("`", "");
  return `${text.startsWith("`") ? plain : plain[0].toUpperCase() + plain.slice(1)}.`;
}
