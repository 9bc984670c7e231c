/** Says which SQLite the library takes on this Node, whatever else is installed: it has to be Node's own. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadDriver } from '../src/sqlite/driver.ts'

const folder = mkdtempSync(join(tmpdir(), 'driver-'))
try {
  const path = join(folder, 'tasks.db')
  writeFileSync(path, '')
  const database = (await loadDriver())(path)
  assert.equal(database.driver, 'node:sqlite')
  const { version } = database.prepare('SELECT sqlite_version() AS version').get()
  database.close()
  console.log(`${database.driver} ${version}`)
} finally {
  rmSync(folder, { recursive: true })
}
