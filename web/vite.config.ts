import {svelte} from "@sveltejs/vite-plugin-svelte";
import {defineConfig} from "vitest/config";

// The daemon's Content-Security-Policy allows files of its own origin only: no script, style or image is put into the HTML or into data: URLs.
export default defineConfig({
  plugins: [svelte()],
  base: "/",
  server: {host: "127.0.0.1"},  // A name would have to be resolved, which a bare machine may not be able to.
  build: {rollupOptions: {input: {index: "index.html", docs: "docs.html"}}, target: "es2022", assetsInlineLimit: 0, modulePreload: {polyfill: false}, cssCodeSplit: false, sourcemap: false, reportCompressedSize: true},
  test: {include: ["src/**/*.test.ts"], environment: "node"},
});
