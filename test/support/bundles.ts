/**
 * What is made of the sources before the tests run: a worker is started by Node alone, which Vite does not help to read
 * TypeScript.
 */
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))

export default async function bundle(): Promise<void> {
  await build({
    entryPoints: [at('src/isolation/worker.ts')],
    outfile: at('src/isolation/worker.js'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  })
}
