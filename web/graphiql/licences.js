/** Write LICENSES.txt beside the build: every package and font it contains, and their licences, each text once. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const LICENCE = /^(licen[cs]e|copying|notice|thirdpartynotices)/i;
const RULE = `\n${"=".repeat(80)}\n`;

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const bundled = Object.entries(lock.packages).filter(([path, entry]) => path && !entry.dev && !entry.optional);
const names = new Map();
for (const [path, { version, license }] of bundled) {
  const text = readLicences(path);
  names.set(text, [...(names.get(text) ?? []), `${path.split("node_modules/").at(-1)} ${version} (${license})`]);
}
const fonts = readFileSync("fonts.txt", "utf8");
const sections = [...names].map(([text, packages]) => `${packages.join("\n")}\n\n${text}`);
writeFileSync(join("..", "..", "onedoor", "http", "graphiql", "LICENSES.txt"), [fonts, ...sections].join(RULE));

function readLicences(path) {
  const files = readdirSync(path).filter((name) => LICENCE.test(name));
  return files.map((name) => readFileSync(join(path, name), "utf8").replaceAll("\r\n", "\n").trim()).join("\n\n");
}
