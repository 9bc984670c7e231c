/**
 * A program of a test as one file of JavaScript: it starts in a tenth of the time that a loader of TypeScript takes, which
 * counts where processes are killed and started again all the time.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
/** Below node_modules, so that the packages are found from there. */
const CACHE = join(ROOT, 'node_modules/.cache/background-runner')

/** @param source of the program; answers with the path of what can be started */
export async function bundle(source: URL): Promise<string> {
  mkdirSync(CACHE, { recursive: true })
  const folder = mkdtempSync(join(CACHE, 'bundle-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const entry = fileURLToPath(source)
  const outfile = join(folder, `${basename(entry, '.ts')}.mjs`)
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    sourcemap: 'inline',
    tsconfig: join(ROOT, 'tsconfig.json'),
    logLevel: 'error',
  })
  return outfile
}
