/**
 * Everything that is checked besides the tests. One that fails does not keep the others from running.
 *
 *   npm run check                    all of them
 *   npm run check -- lint types      these
 */
import { spawn } from 'node:child_process'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

/** In this order: those from `size` on look at what `build` has built. `shown`: what it prints is of interest as well when it passes. */
const CHECKS = [
  { name: 'lint', command: 'biome ci --colors=off --error-on-warnings .' },
  { name: 'types', command: 'tsc --project tsconfig.src.json && tsc --project . && tsc --project src/http/dashboard' },
  { name: 'imports', command: 'depcruise --config .dependency-cruiser.cjs src test examples' },
  { name: 'time', command: 'node scripts/check-time.mjs' },
  { name: 'unused', command: 'knip' },
  { name: 'build', command: 'npm run --silent build' },
  { name: 'size', command: 'size-limit', shown: true },
  { name: 'publint', command: 'publint --strict' },
  { name: 'attw', command: 'attw --pack . --no-emoji' },
  { name: 'consumers', command: 'node scripts/check-consumers.mjs', shown: true },
]

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !CHECKS.some((check) => check.name === name))
if (unknown.length > 0) {
  console.error(`no such check: ${unknown.join(', ')}; there are ${CHECKS.map((check) => check.name).join(', ')}`)
  process.exit(1)
}

let passed = 0
let failed = 0
for (const check of CHECKS) {
  if (wanted.length > 0 && !wanted.includes(check.name)) continue
  const started = Date.now()
  const { ok, output } = await run(check.command)
  if (ok) passed++
  else failed++
  console.log(`${ok ? '✓' : '✗'} ${check.name} (${((Date.now() - started) / 1000).toFixed(1)} s)`)
  if (output !== '' && (!ok || check.shown)) console.log(`\n${output.replace(/^/gm, '    ')}\n`)
}
console.log(`checks: ${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1

function run(command) {
  return new Promise((resolve) => {
    const PATH = `${join(ROOT, 'node_modules/.bin')}${delimiter}${process.env.PATH}`
    // Colours of one tool inside the report of another are noise, in a log even more so.
    const env = { ...process.env, PATH, NO_COLOR: '1', FORCE_COLOR: undefined }
    const child = spawn(command, { cwd: ROOT, env, shell: true, stdio: ['ignore', 'pipe', 'pipe'] })
    const chunks = []
    child.stdout.on('data', (chunk) => chunks.push(chunk))
    child.stderr.on('data', (chunk) => chunks.push(chunk))
    child.on('error', (error) => resolve({ ok: false, output: error.message }))
    child.on('close', (code) => resolve({ ok: code === 0, output: Buffer.concat(chunks).toString().trimEnd() }))
  })
}
