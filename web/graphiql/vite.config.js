/** src/ in, dist/ out: every file the page needs, served from /graphiql/ and nowhere else. */
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig({
  base: "/graphiql/",
  plugins: [react()],
  // graphql-js looks for this before it believes that it runs in production.
  define: { "globalThis.process": "true" },
  worker: { format: "es" },
  build: {
    chunkSizeWarningLimit: 8000,
    modulePreload: { polyfill: false },
    rolldownOptions: { checks: { moduleLevelDirective: false } },
  },
});
