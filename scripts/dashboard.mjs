/**
 * The dashboard as one module, src/http/assets.js: its page, its program and its style as strings, so that whoever
 * imports `background-runner/http` has them without a file to find. It fails where they would be more than BUDGET.
 *
 *   node scripts/dashboard.mjs
 */
import { createHash } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const FOLDER = 'src/http/dashboard'
/** Bytes, all of it, gzipped. */
const BUDGET = 60_000

/** Writes src/http/assets.js and returns the size of each file, gzipped. */
export async function buildDashboard() {
  const { outputFiles } = await build({
    entryPoints: { app: at(`${FOLDER}/main.tsx`), style: at(`${FOLDER}/style.css`) },
    outdir: at(FOLDER),
    write: false,
    bundle: true,
    minify: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2022',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    charset: 'utf8',
    legalComments: 'none',
    logLevel: 'warning',
  })
  const assets = {}
  const add = (ending, type) => {
    const body = outputFiles.find(({ path }) => path.endsWith(ending)).text
    const name = `app.${createHash('sha256').update(body).digest('hex').slice(0, 10)}${ending}`
    assets[name] = { type, body }
    return name
  }
  const script = add('.js', 'text/javascript; charset=utf-8')
  const style = add('.css', 'text/css; charset=utf-8')
  const page = await readFile(at(`${FOLDER}/index.html`), 'utf8')
  const body = page.replace('"main.tsx"', `"assets/${script}"`).replace('"style.css"', `"assets/${style}"`)
  assets['index.html'] = { type: 'text/html; charset=utf-8', body }

  const sizes = Object.fromEntries(Object.entries(assets).map(([name, { body }]) => [name, gzipSync(body).length]))
  const total = Object.values(sizes).reduce((sum, size) => sum + size, 0)
  if (total > BUDGET) throw new Error(`the dashboard has ${total} bytes gzipped, more than ${BUDGET}`)
  await writeFile(at('src/http/assets.js'), `export const assets = ${JSON.stringify(assets)}\n`)
  return { ...sizes, total }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildDashboard()
