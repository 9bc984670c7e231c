/** What `sqlite()` is given: refused as it is called, and each thing that is wrong by its name. */
import assert from 'node:assert/strict'
import { InvalidInputError } from 'background-runner'
import { type SqliteOptions, sqlite } from 'background-runner/sqlite'
import { describe, it } from 'vitest'
import { type Durability, openFile } from '../../src/sqlite/open.js'
import { place } from './support/place.js'

const at = place()

function issues(options: unknown): string[] {
  try {
    sqlite(options as SqliteOptions)
  } catch (error) {
    assert.ok(error instanceof InvalidInputError, String(error))
    return error.issues.map(({ path, message }) => `${path.join('.')} ${message}`)
  }
  return []
}

it('a path, and nothing that SQLite takes for something else', () => {
  for (const path of ['', ':memory:', 'file:tasks.db', 'a\0b', 7, undefined, new URL('file:///tasks.db')])
    assert.match(String(issues({ path })), /^path /, String(path))
  assert.deepEqual(issues({ path: 'tasks.db' }), [])
})

it('a durability of the two, a lease that a process can keep, and nothing unknown', () => {
  assert.deepEqual(issues({ path: 'a', durability: 'full' }), ["durability must be 'process' or 'power', got \"full\""])
  for (const lease of [0, 1, 99, '50ms'])
    assert.match(String(issues({ path: 'a', lease })), /^lease must be at least 100 ms/)
  assert.match(String(issues({ path: 'a', lease: 'soon' })), /^lease .*got "soon"$/)
  for (const lease of [100, '15s', '1d']) assert.deepEqual(issues({ path: 'a', lease }), [])
  assert.match(String(issues({ path: 'a', timeout: 5 })), /^timeout is unknown/)
})

describe('a commit', () => {
  // https://www.sqlite.org/pragma.html#pragma_synchronous: 1 NORMAL, 2 FULL
  for (const [durability, synchronous] of [
    ['process', 1],
    ['power', 2],
  ] satisfies [Durability, number][]) {
    it(`of durability '${durability}' is written to the -wal and ${synchronous === 2 ? 'waits' : 'does not wait'} for the disk`, async () => {
      const { database } = await openFile(at.path, durability)
      at.after(() => database.close())
      assert.deepEqual({ ...database.prepare('PRAGMA synchronous').get() }, { synchronous })
      assert.deepEqual({ ...database.prepare('PRAGMA journal_mode').get() }, { journal_mode: 'wal' })
    })
  }
})
