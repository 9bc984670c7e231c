/**
 * A program of a test as one file of JavaScript: it starts in a tenth of the time that a loader of TypeScript takes, which
 * counts where processes are killed and started again all the time.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
/** Below node_modules, so that the packages are found from there. */
const CACHE = join(ROOT, 'node_modules/.cache/background-runner')

/** @param source of the program; answers with the path of what can be started */
export async function bundle(source: URL): Promise<string> {
  const entry = fileURLToPath(source)
  const { outputFiles } = await build({
    entryPoints: [entry],
    write: false,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    sourcemap: 'inline',
    tsconfig: join(ROOT, 'tsconfig.json'),
    logLevel: 'error',
  })
  mkdirSync(CACHE, { recursive: true })
  const path = join(CACHE, `${basename(entry, '.ts')}.mjs`)
  // Several files of tests make the same one at the same time: it is there whole or not at all.
  const unfinished = `${path}.${process.pid}`
  writeFileSync(unfinished, outputFiles[0]?.contents ?? '')
  renameSync(unfinished, path)
  return path
}
