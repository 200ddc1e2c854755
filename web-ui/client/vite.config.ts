// The build the Rust server embeds: hashed files under /assets, named by the manifest.

import { defineConfig } from 'vite';

export default defineConfig({
  base: '/',
  build: {
    outDir: process.env.CLIENT_OUT_DIR ?? 'dist',
    emptyOutDir: true,
    assetsDir: 'assets',
    // Fonts stay files of their own: a data: URL would need a wider font-src.
    assetsInlineLimit: 0,
    manifest: true,
    modulePreload: { polyfill: false },
    target: 'es2022',
    chunkSizeWarningLimit: 1600,
    rolldownOptions: { input: 'src/main.ts' },
  },
  worker: { format: 'es' },
});
