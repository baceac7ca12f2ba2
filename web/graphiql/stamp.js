/** Write the digest of the sources to stamp.txt beside the build: a test fails if the sources have changed since. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FOLDERS = ["src", "public"];
const FILES = ["fonts.txt", "index.html", "package-lock.json", "package.json", "vite.config.js"];

const inside = FOLDERS.flatMap((folder) => readdirSync(folder).map((name) => `${folder}/${name}`));
const digest = createHash("sha256");
for (const name of [...FILES, ...inside].sort()) digest.update(`${name}\0`).update(readFileSync(name)).update("\0");
writeFileSync(join("..", "..", "onedoor", "http", "graphiql", "stamp.txt"), `${digest.digest("hex")}\n`);
