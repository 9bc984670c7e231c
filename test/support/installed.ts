/** The library as an app has it in its node_modules, for tests that start Node by itself: built by esbuild, not by tsup. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const DEPENDENCIES = ['p-queue', 'eventemitter3']

/**
 * A folder that is an app's, with the library installed.
 *
 * @param packages of ours that the app has as well
 */
export async function installed(packages: readonly string[]): Promise<{ folder: string; remove: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'app-'))
  const home = join(folder, 'node_modules')
  for (const name of [...DEPENDENCIES, ...packages]) {
    mkdirSync(dirname(join(home, name)), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules', name), join(home, name), 'junction')
  }
  await build({
    entryPoints: ['index', 'testing/index', 'isolation/index', 'isolation/worker'].map(
      (each) => `${ROOT}src/${each}.ts`,
    ),
    outdir: join(home, 'background-runner/dist'),
    bundle: true,
    splitting: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  })
  copyFileSync(`${ROOT}package.json`, join(home, 'background-runner/package.json'))
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  return { folder, remove: () => rmSync(folder, { recursive: true }) }
}
