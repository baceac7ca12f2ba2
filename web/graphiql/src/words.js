/** Numbers, times and reasons in, words out. */
const NUMBER = new Intl.NumberFormat("en-GB");
const SHORT = new Intl.NumberFormat("en-GB", { maximumSignificantDigits: 3 });
const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

export function many(count = 0, what) {
  return `${NUMBER.format(count)} ${what}${count === 1 ? "" : "s"}`;
}

export function milliseconds(ms = 0) {
  return `${ms < 10 ? ms.toFixed(1) : NUMBER.format(Math.round(ms))} ms`;
}

export function weight(bytes = 0) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1_000_000 ? `${SHORT.format(bytes / 1000)} kB` : `${SHORT.format(bytes / 1_000_000)} MB`;
}

export function time(iso) {
  return TIME.format(new Date(iso));
}

/** A reason as a sentence; names keep their case. */
export function sentence(text) {
  const plain = text.replaceAll("`", "");
  return `${text.startsWith("`") ? plain : plain[0].toUpperCase() + plain.slice(1)}.`;
}
