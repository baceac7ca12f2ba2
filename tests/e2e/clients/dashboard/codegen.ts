import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "schema/schema.graphql",
  documents: "tests/e2e/clients/dashboard/questions.graphql",
  generates: {
    "tests/e2e/clients/dashboard/graphql.ts": {
      plugins: ["typescript-operations", "typed-document-node"],
      config: {
        enumType: "string-literal",
        useTypeImports: true,
        disableDescriptions: true,
        scalars: { BigInt: "string", Date: "string", DateTime: "string", Decimal: "string" },
      },
    },
  },
};

export default config;
