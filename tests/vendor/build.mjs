// Exact versions of packages in, one bundle each with its licences out: `node tests/vendor/build.mjs <empty folder>`
// installs them there with npm and writes tests/vendor/<name>/. Whoever runs the tests needs none of this.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const PACKAGES = [
  "graphql@16.15.0",
  "graphql-http@1.23.1",
  "graphql-sse@2.6.1",
  "graphql-ws@6.4.2",
  "@apollo/client@4.3.8",
  "rxjs@7.8.2",
  "@urql/core@6.0.3",
  "@urql/exchange-persisted@5.0.1",
  "relay-runtime@21.0.1",
  "@graphql-codegen/core@6.2.1",
  "@graphql-codegen/typescript-operations@6.1.9",
  "@graphql-codegen/typed-document-node@7.1.1",
  "esbuild@0.28.2",
];

const HERE = import.meta.dirname;
const folder = process.argv[2];
writeFileSync(join(folder, "package.json"), '{ "private": true }');
execFileSync("npm", ["install", "--no-audit", "--no-fund", ...PACKAGES], { cwd: folder, stdio: "inherit" });
const installed = createRequire(join(folder, "package.json"));
const { build } = installed("esbuild");

const BUNDLES = {
  "graphql-http": 'export { serverAudits } from "graphql-http";',
  "graphql-sse": 'export { createClient } from "graphql-sse";',
  "graphql-ws": 'export { createClient } from "graphql-ws";',
  "apollo-client": `
    export * from "@apollo/client";
    export { relayStylePagination } from "@apollo/client/utilities";
    export { PersistedQueryLink } from "@apollo/client/link/persisted-queries";
    export { GraphQLWsLink } from "@apollo/client/link/subscriptions";
    export { OperationTypeNode } from "graphql";
    export { tap } from "rxjs";`,
  urql: `
    export * from "@urql/core";
    export { persistedExchange } from "@urql/exchange-persisted";`,
  "relay-runtime": named("relay-runtime"),
  "graphql-codegen": `
    export { codegen } from "@graphql-codegen/core";
    export * as operations from "@graphql-codegen/typescript-operations";
    export * as documents from "@graphql-codegen/typed-document-node";
    export { parse } from "graphql";`,
};

const MIT = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;

for (const [name, entry] of Object.entries(BUNDLES)) {
  const made = join(HERE, name);
  const bundle = join(made, `${name}.mjs`);
  mkdirSync(made, { recursive: true });
  const { metafile } = await build({
    stdin: { contents: entry, resolveDir: folder },
    outfile: bundle,
    absWorkingDir: folder,
    bundle: true,
    minify: true,
    metafile: true,
    format: "esm",
    platform: "node",
    mainFields: ["module", "main"],
    define: { "process.env.NODE_ENV": '"production"' },
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    legalComments: "none",
  });
  // an error of graphql names a page of a registry
  writeFileSync(bundle, readFileSync(bundle, "utf8").replace(/https:\/\/yarn[^\s"`]*/g, ""));
  writeFileSync(join(made, "LICENSE"), licences(Object.keys(metafile.inputs)));
}

// A CommonJS package tells node none of its names, so they are written out.
function named(name) {
  return `import all from "${name}"; export const { ${Object.keys(installed(name)).join(", ")} } = all;`;
}

function licences(files) {
  const packages = new Set(files.map((file) => file.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//)?.[1]));
  packages.delete(undefined);
  return [...packages].sort().map(licence).join("\n\n");
}

function licence(path) {
  const at = join(folder, path);
  const { name, version, license } = JSON.parse(readFileSync(join(at, "package.json"), "utf8"));
  const file = readdirSync(at).find((each) => /^licen[cs]e/i.test(each));
  const text = file ? readFileSync(join(at, file), "utf8").trim() : unwritten(name, license);
  return `${name} ${version}\n\n${text}\n`;
}

function unwritten(name, license) {
  if (license !== "MIT") throw new Error(`${name} brings no text of its licence, ${license}`);
  return `Copyright (c) the authors of ${name}\n\n${MIT}`;
}
