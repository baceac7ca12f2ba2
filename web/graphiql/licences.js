/** node_modules/ and fonts.txt in, dist/LICENSES.txt out: what the build holds, and under which terms; each text once. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const LICENCE = /^(licen[cs]e|copying|notice|thirdpartynotices)/i;
const LINE = `\n${"=".repeat(80)}\n`;

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const bundled = Object.entries(lock.packages).filter(([path, each]) => path && !each.dev && !each.optional);
const names = new Map();
for (const [path, { version, license }] of bundled) {
  const text = texts(path);
  names.set(text, [...(names.get(text) ?? []), `${path.split("node_modules/").at(-1)} ${version} (${license})`]);
}
const told = [...names].map(([text, held]) => `${held.join("\n")}\n\n${text}`);
writeFileSync(join("..", "..", "onedoor", "http", "graphiql", "LICENSES.txt"), [readFileSync("fonts.txt", "utf8"), ...told].join(LINE));

function texts(path) {
  const files = readdirSync(path).filter((each) => LICENCE.test(each));
  return files.map((each) => readFileSync(join(path, each), "utf8").replaceAll("\r\n", "\n").trim()).join("\n\n");
}
