/**
 * The programs that tests start, as JavaScript: the examples and those that the pages show. From its sources each takes
 * several times as long to start; that it does start from there is shown by some tests, under CI=true by all of both.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
/** Below node_modules, so that the packages are found from there. */
const BUILT = join(ROOT, 'node_modules/.cache/background-runner/programs')

/** By their paths from the root, without the ending; modules for workers are among them. */
const PROGRAMS = [
  ...['index', 'isolation/index', 'isolation/worker'].map((name) => `src/${name}`),
  ...['express/main', 'hono/main', 'shared/picture'].map((name) => `examples/${name}`),
  ...['test/readme', 'test/docs/isolation', 'test/docs/testing'].flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((file) => !file.endsWith('.test.ts'))
      .map((file) => `${folder}/${file.replace(/\.ts$/, '')}`),
  ),
]

/** Makes them, once before the tests run. */
export default async function buildPrograms(): Promise<void> {
  mkdirSync(BUILT, { recursive: true })
  writeFileSync(join(BUILT, 'package.json'), '{ "type": "module" }')
  await build({
    entryPoints: PROGRAMS.map((path) => join(ROOT, `${path}.ts`)),
    outdir: BUILT,
    outbase: ROOT,
    // What the examples share finds the module of the pictures by its place.
    chunkNames: 'examples/shared/[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    tsconfig: join(ROOT, 'tsconfig.json'),
    logLevel: 'warning',
  })
}

/** The file of one of them. @param path of its source, from the root */
export function builtProgram(path: string): string {
  return join(BUILT, path.replace(/\.ts$/, '.js'))
}

/** Whether the time that it takes to start from the sources is spent. */
export const FROM_SOURCES: boolean = process.env['CI'] === 'true'
