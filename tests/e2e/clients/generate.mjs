// The settings of graphql-codegen in, what it writes out: what its command does, without looking for files.

import { readFileSync } from "node:fs";
import { codegen, documents, operations, parse } from "@graphql-codegen/core";
import config from "./dashboard/codegen.ts";

const PLUGINS = { "typescript-operations": operations, "typed-document-node": documents };
const [[filename, made]] = Object.entries(config.generates);

process.stdout.write(
  await codegen({
    filename,
    schema: parse(readFileSync(config.schema, "utf8")),
    documents: [{ location: config.documents, document: parse(readFileSync(config.documents, "utf8")) }],
    plugins: made.plugins.map((name) => ({ [name]: {} })),
    pluginMap: PLUGINS,
    config: made.config,
  }),
);
