/** Build src/ into the package that serves it: the page loads every file from /graphiql/ and none from elsewhere. */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const OUT = "../../onedoor/http/graphiql";

export default defineConfig({
  base: "/graphiql/",
  plugins: [react()],
  // graphql-js looks for this before it believes that it runs in production.
  define: { "globalThis.process": "true" },
  worker: { format: "es" },
  build: {
    outDir: OUT,
    emptyOutDir: true,
    chunkSizeWarningLimit: 8000,
    modulePreload: { polyfill: false },
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
});
