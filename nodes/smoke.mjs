/**
 * The built package where no SQLite library is installed: every sub-path loads as ESM and as CommonJS, and a task outlives
 * the runner it was submitted to. Node's own SQLite is used, and its ExperimentalWarning is not shown.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const require = createRequire(import.meta.url)
for (const driver of ['libsql', 'better-sqlite3']) assert.throws(() => require.resolve(driver), /Cannot find module/)

const warnings = []
process.on('warning', (warning) => warnings.push(warning))
const PATHS = ['', '/email', '/testing', '/sqlite']
const folder = mkdtempSync(join(tmpdir(), 'smoke-'))
try {
  const esm = await Promise.all(PATHS.map((path) => import(`background-runner${path}`)))
  await use(join(folder, 'esm.db'), Object.assign({}, ...esm))
  await use(join(folder, 'cjs.db'), Object.assign({}, ...PATHS.map((path) => require(`background-runner${path}`))))
} finally {
  rmSync(folder, { recursive: true })
}
// Warnings are told a turn later.
await new Promise(setImmediate)
assert.deepEqual(warnings, [])
console.log('passed')

async function use(path, { BackgroundRunner, defineTask, emailTask, sqlite }) {
  const tasks = {
    double: defineTask({ run: async (value) => value * 2 }),
    email: emailTask({ transport: 'smtp://localhost:1', from: 'app@example.com' }),
  }
  const submitter = new BackgroundRunner({ tasks, engine: sqlite({ path }), work: false })
  const { id } = await submitter.submit('double', 21)
  await submitter.close()
  const worker = new BackgroundRunner({ tasks, engine: sqlite({ path }) })
  assert.equal(await worker.result(id), 42)
  assert.deepEqual(await worker.counts(), {
    queued: 0,
    scheduled: 0,
    running: 0,
    succeeded: 1,
    failed: 0,
    cancelled: 0,
  })
  await worker.close()
}
