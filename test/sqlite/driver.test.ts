/** The SQLite library that this Node has, through the driver; and how one is chosen. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire, isBuiltin } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll, beforeEach, describe, it } from 'vitest'
import { type Database, loadDriver, type Open, type Problem, problemOf } from '../../src/sqlite/driver.js'
import { place } from './support/place.js'

const at = place()
let open: Open
let database: Database

beforeAll(async () => {
  open = await loadDriver()
})
beforeEach(() => {
  database = open(at.path)
})
afterEach(() => database.close())

function problem(of: () => unknown): Problem | 'none' {
  try {
    of()
    return 'none'
  } catch (error) {
    return problemOf(error)
  }
}

describe('the driver', () => {
  it('gives back what it was given', () => {
    const values = [
      'text',
      '',
      'ä 漢字 🎉 \u2028',
      JSON.stringify('a\0b \ud800'),
      'x'.repeat(200_000),
      0,
      -1,
      1.5,
      1e15,
      Date.UTC(2030, 0, 1),
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      null,
    ]
    database.exec('CREATE TABLE t (n INTEGER PRIMARY KEY, a ANY) STRICT')
    for (const [n, value] of values.entries()) database.prepare('INSERT INTO t (n, a) VALUES (?, ?)').run(n, value)
    assert.deepEqual(
      database
        .prepare('SELECT a FROM t ORDER BY n')
        .all()
        .map((row) => row['a']),
      values,
    )
  })

  it('keeps whole numbers whole in an INTEGER column, and refuses others', () => {
    database.exec('CREATE TABLE t (a INTEGER) STRICT')
    const insert = database.prepare('INSERT INTO t VALUES (?)')
    insert.run(Date.UTC(2030, 0, 1))
    insert.run(1e15)
    assert.equal(
      problem(() => insert.run(3.5)),
      'other',
    )
    assert.deepEqual(
      database
        .prepare('SELECT typeof(a) AS type FROM t')
        .all()
        .map((row) => row['type']),
      ['integer', 'integer'],
    )
  })

  it('shows a row with its columns and nothing else, and none as undefined', () => {
    database.exec('CREATE TABLE t (a, b)')
    const get = database.prepare('SELECT a, b AS c FROM t')
    assert.equal(get.get(), undefined)
    assert.deepEqual(get.all(), [])
    database.exec("INSERT INTO t VALUES (1, 'x'), (2, NULL)")
    assert.deepEqual({ ...get.get() }, { a: 1, c: 'x' })
    assert.deepEqual(
      get.all().map((row) => ({ ...row })),
      [
        { a: 1, c: 'x' },
        { a: 2, c: null },
      ],
    )
    assert.deepEqual(get.all().map((row) => ({ ...row })).length, 2, 'and again')
  })

  it('tells how many rows were changed, and the rowid of the last one', () => {
    database.exec('CREATE TABLE t (n INTEGER PRIMARY KEY, a)')
    assert.deepEqual(database.prepare('INSERT INTO t (a) VALUES (?), (?)').run(1, 2), { changes: 2, inserted: 2 })
    assert.equal(database.prepare('UPDATE t SET a = 3 WHERE n > ?').run(0).changes, 2)
    assert.equal(database.prepare('UPDATE t SET a = 3 WHERE n > ?').run(5).changes, 0)
    assert.equal(database.prepare('DELETE FROM t').run().changes, 2)
  })

  it('leaves no statement open that has given its row: a checkpoint can empty the -wal', () => {
    database.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2)')
    database.prepare('SELECT a FROM t').get()
    const { busy } = open(at.path).prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() ?? {}
    assert.equal(busy, 0)
  })

  it('fails at once where another one writes', () => {
    const other = open(at.path)
    other.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (a); BEGIN IMMEDIATE')
    assert.equal(
      problem(() => database.exec('BEGIN IMMEDIATE')),
      'busy',
    )
    assert.equal(
      problem(() => database.prepare('BEGIN IMMEDIATE').run()),
      'busy',
    )
    other.exec('ROLLBACK')
    assert.equal(
      problem(() => database.exec('BEGIN IMMEDIATE; ROLLBACK')),
      'none',
    )
    other.close()
  })

  it('tells what is wrong by one word, whatever library says it', () => {
    assert.equal(
      problem(() => open(join(at.folder, '5', 'any.db')).exec('SELECT 1')),
      'unopenable',
    )
    assert.equal(
      problem(() => open(at.folder).exec('SELECT * FROM sqlite_schema')),
      'unopenable',
    )
    writeFileSync(join(at.folder, 'text'), 'Dear diary, '.repeat(100))
    assert.equal(
      problem(() => open(join(at.folder, 'text')).exec('SELECT * FROM sqlite_schema')),
      'foreign',
    )
    assert.equal(
      problem(() => database.exec('SELECT * FROM t')),
      'foreign',
      'a table that is missing is one of ours',
    )
    database.exec('CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (1)')
    assert.equal(
      problem(() => database.exec('INSERT INTO t VALUES (1)')),
      'other',
    )
    database.exec('PRAGMA max_page_count = 1')
    assert.equal(
      problem(() => database.exec(`INSERT INTO t VALUES ('${'x'.repeat(50_000)}')`)),
      'full',
    )
    database.exec('PRAGMA query_only = 1')
    assert.equal(
      problem(() => database.exec('INSERT INTO t VALUES (2)')),
      'readonly',
    )
  })

  it('closes twice without a word', () => {
    database.close()
    database.close()
  })
})

describe('what a library throws', () => {
  const thrown: readonly (readonly [string, unknown, Problem])[] = [
    ['node:sqlite', { code: 'ERR_SQLITE_ERROR', errcode: 5 }, 'busy'],
    ['node:sqlite, an extended code', { code: 'ERR_SQLITE_ERROR', errcode: 517 }, 'busy'],
    ['node:sqlite, a folder', { code: 'ERR_SQLITE_ERROR', errcode: 1_544 }, 'readonly'],
    ['node:sqlite, a key', { code: 'ERR_SQLITE_ERROR', errcode: 1_555 }, 'other'],
    ['libsql', { code: 'SQLITE_BUSY', rawCode: 5 }, 'busy'],
    ['libsql, a folder', { code: 'UNKNOWN_SQLITE_ERROR_1544', rawCode: 1_544 }, 'readonly'],
    [
      'libsql while it opens a file whose path has numbers',
      { message: 'ConnectionFailed("Unable to open connection to local database /data/5/v11.db: 14")' },
      'unopenable',
    ],
    ['better-sqlite3', { code: 'SQLITE_BUSY_SNAPSHOT' }, 'busy'],
    ['better-sqlite3', { code: 'SQLITE_IOERR_SHORT_READ' }, 'io'],
    ['better-sqlite3', { code: 'SQLITE_CORRUPT_INDEX' }, 'corrupt'],
    ['better-sqlite3', { code: 'SQLITE_READONLY_DIRECTORY' }, 'readonly'],
    ['better-sqlite3', { code: 'SQLITE_FULL' }, 'full'],
    ['better-sqlite3', { code: 'SQLITE_CANTOPEN' }, 'unopenable'],
    ['better-sqlite3', { code: 'SQLITE_NOTADB' }, 'foreign'],
    ['better-sqlite3', { code: 'SQLITE_CONSTRAINT_UNIQUE' }, 'other'],
    ['JavaScript', new TypeError('5 is not a function'), 'other'],
    ['nobody', undefined, 'other'],
    ['nobody', null, 'other'],
  ]
  for (const [library, error, problem] of thrown) {
    it(`${library}: ${JSON.stringify(error)} is ${problem}`, () => assert.equal(problemOf(error), problem))
  }
})

describe('the choice of a library', { timeout: 30_000 }, () => {
  let home: string
  let program: string
  const libsql = JSON.stringify(createRequire(import.meta.url).resolve('libsql'))

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), 'background-runner-'))
    program = join(home, 'program.mjs')
    await build({
      stdin: {
        contents: `
          if (process.argv[3] === 'old') process.getBuiltinModule = undefined
          const { loadDriver } = await import('./src/sqlite/driver.ts')
          try {
            const database = (await loadDriver())(process.argv[2])
            database.exec('CREATE TABLE t (a)')
            database.prepare('INSERT INTO t VALUES (?)').run('x')
            console.log(database.driver, database.prepare('SELECT a FROM t').get().a)
          } catch (error) {
            console.log(error.code, error.message)
          }`,
        resolveDir: process.cwd(),
        loader: 'ts',
      },
      outfile: program,
      bundle: true,
      platform: 'node',
      format: 'esm',
    })
  })
  afterAll(() => rmSync(home, { recursive: true }))
  afterEach(() => rmSync(join(home, 'node_modules'), { recursive: true, force: true }))

  function install(name: string, source: string): void {
    const at = join(home, 'node_modules', name)
    mkdirSync(at, { recursive: true })
    writeFileSync(join(at, 'index.js'), source)
  }

  const run = (node: 'old' | 'new'): string =>
    execFileSync(process.execPath, [program, at.path, node], { encoding: 'utf8' }).trim()

  it('without any, says what to install', () => {
    assert.equal(
      run('old'),
      'MISSING_DEPENDENCY sqlite() on a Node without node:sqlite needs the package libsql: npm install libsql',
    )
  })

  it('takes libsql where it is installed', () => {
    install('libsql', `module.exports = require(${libsql})`)
    install('better-sqlite3', "throw new Error('not asked for')")
    assert.equal(run('old'), 'libsql x')
  })

  it('takes better-sqlite3 where libsql is not installed, or cannot be loaded', () => {
    // What better-sqlite3 does otherwise than libsql: statements that give no rows have no columns and no raw mode.
    install(
      'better-sqlite3',
      `const Libsql = require(${libsql})
      module.exports = class {
        constructor(path, options) { this.db = new Libsql(path, options) }
        exec(sql) { this.db.exec(sql); return this }
        close() { this.db.close(); return this }
        prepare(sql) {
          const statement = this.db.prepare(sql)
          if (/^SELECT|^PRAGMA/.test(sql)) return statement
          const refuse = () => { throw new TypeError('The columns() method is only for statements that return data') }
          return { run: (...values) => statement.run(...values), raw: refuse, columns: refuse }
        }
      }`,
    )
    assert.equal(run('old'), 'better-sqlite3 x')
    rmSync(at.path, { force: true })
    install('libsql', "throw new Error('built for another machine')")
    assert.equal(run('old'), 'better-sqlite3 x')
  })

  it.skipIf(!isBuiltin('node:sqlite'))(
    'takes node:sqlite where this Node has it, without a warning, and leaves the warnings of others alone',
    () => {
      install('libsql', "throw new Error('not asked for')")
      const { stdout, stderr } = spawnSync(process.execPath, [program, at.path, 'new'], { encoding: 'utf8' })
      assert.equal(stdout.trim(), 'node:sqlite x')
      assert.equal(stderr, '')
    },
  )
})
