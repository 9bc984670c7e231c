/**
 * What is made of the sources before the tests run: a worker is started by Node alone, which Vite does not help to read
 * TypeScript; a browser neither.
 */
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { buildDashboard } from '../../scripts/dashboard.mjs'

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))

/** Each beside its source. */
const WORKERS = ['src/isolation/worker', 'test/isolation/conformance/link-thread', 'test/isolation/conformance/puppet']

export default async function bundle(): Promise<void> {
  await build({
    entryPoints: WORKERS.map((path) => at(`${path}.ts`)),
    outdir: at('.'),
    outbase: at('.'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  })
  await buildDashboard()
}
