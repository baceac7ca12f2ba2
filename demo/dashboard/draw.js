/** Draw rows: charts by Chart.js, tables and lists as elements. Text is only ever set as text. */

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const SERIES = ["first", "second", "third"];
const YEAR = / \d{4}$/;
const short = new Intl.NumberFormat("en", { notation: "compact" });

/** Draw vertical bars side by side, in a colour for each series. */
export function bars(labels, series) {
  return chart(labels, series, {});
}

/** Draw vertical bars, the series of a label stacked. */
export function stacked(labels, series) {
  return chart(labels, series, { stacked: true });
}

/** Draw horizontal bars of one series, in the order given. */
export function sideways(labels, values) {
  return chart(labels, { "": values }, { axis: "y" });
}

export function table(heads, rows) {
  const head = element("tr", {}, heads.map((text) => element("th", { scope: "col", textContent: text })));
  const body = rows.map((cells) => element("tr", {}, cells.map((text) => element("td", { textContent: text }))));
  return element("table", {}, [element("thead", {}, [head]), element("tbody", {}, body)]);
}

export function list(rows) {
  const lines = ({ text, about }) => [
    element("p", { textContent: text }),
    element("p", { className: "about", textContent: about }),
  ];
  return element("ul", {}, rows.map((row) => element("li", {}, lines(row))));
}

export function element(name, properties = {}, children = []) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

function chart(labels, series, { stacked = false, axis = "x" }) {
  const canvas = element("canvas", { role: "img", ariaLabel: describe(labels, series) });
  const named = { color: colour("soft"), callback: (_, number) => labels[number].replace(YEAR, "") };
  const counted = { color: colour("soft"), precision: 0, callback: (value) => short.format(value) };
  const along = { stacked, ticks: named, grid: { display: false } };
  const up = { stacked, ticks: counted, grid: { color: colour("line") }, beginAtZero: true };
  const names = Object.keys(series);
  new Chart(canvas, {
    type: "bar",
    data: {
      labels,
      datasets: names.map((label, number) => ({ label, data: series[label], backgroundColor: colour(SERIES[number]) })),
    },
    options: {
      indexAxis: axis,
      animation: false,
      maintainAspectRatio: false,
      scales: axis === "x" ? { x: along, y: up } : { x: up, y: along },
      plugins: { legend: { display: names.length > 1, labels: { color: colour("text"), boxWidth: 12 } } },
    },
  });
  return element("div", { className: "chart" }, [canvas]);
}

/** Return the text that a screen reader reads in place of the chart. */
function describe(labels, series) {
  const sentences = Object.entries(series).map(
    ([name, values]) => `${name} ${labels.map((label, number) => `${label}: ${values[number]}`).join(", ")}`,
  );
  return sentences.join("; ").trim();
}
