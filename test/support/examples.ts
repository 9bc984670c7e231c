/**
 * The examples as JavaScript, made once before the tests run: a program starts in a third of the time that it takes from
 * its sources, and the tests of examples start one after the other.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** Below node_modules, so that the packages are found from there. */
export const BUILT: string = at('node_modules/.cache/background-runner/examples')

export default async function buildExamples(): Promise<void> {
  mkdirSync(BUILT, { recursive: true })
  writeFileSync(join(BUILT, 'package.json'), '{ "type": "module" }')
  await build({
    entryPoints: {
      'express/main': at('examples/express/main.ts'),
      'hono/main': at('examples/hono/main.ts'),
      // What is found by its place: from the code that both examples share, and by the library.
      'shared/picture': at('examples/shared/picture.ts'),
      'isolation/index': at('src/isolation/index.ts'),
      'isolation/worker': at('src/isolation/worker.ts'),
    },
    chunkNames: 'shared/[name]-[hash]',
    outdir: BUILT,
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    tsconfig: at('tsconfig.json'),
    logLevel: 'warning',
  })
}
