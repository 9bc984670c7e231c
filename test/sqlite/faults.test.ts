/** A file that cannot be opened: it is told at start, by name, with what to do, and what is not ours is left as it is. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EngineError } from 'background-runner'
import { beforeAll, describe, it } from 'vitest'
import { loadDriver, type Open } from '../../src/sqlite/driver.js'
import { create, eventually, opened, PRIVATE } from './support/fault-world.js'
import { overwrite } from './support/overwrite.js'
import { place } from './support/place.js'

let openDatabase: Open
beforeAll(async () => {
  openDatabase = await loadDriver()
})
const at = place()
async function refusal(path: string = at.path): Promise<string> {
  const { runner, faults } = create(at, path)
  const told: string[] = []
  for (const ask of [() => runner.ready(), () => runner.submit('work', PRIVATE), () => runner.counts()]) {
    await assert.rejects(ask(), (error) => {
      assert.ok(error instanceof EngineError, String(error))
      told.push(error.message)
      return true
    })
  }
  assert.equal(new Set(told).size, 1, 'all say the same')
  assert.equal(faults.length, 1, 'and it is told as an error too')
  assert.deepEqual(await runner.close(), { completed: 0, returned: 0, abandoned: 0, pending: 0 })
  assert.match(String(told[0]), new RegExp(path), 'the path is named')
  return told[0] as string
}

/** All files of a at.folder, byte for byte. */
function contents(of: string = at.folder): Map<string, string> {
  return new Map(readdirSync(of).map((name) => [name, readFileSync(join(of, name)).toString('base64')]))
}

/** @param script of SQL. @param keep the file as a process leaves it that is killed while it has it open */
function foreignFile(script: string, keep = false): void {
  const database = openDatabase(keep ? `${at.path}.other` : at.path)
  database.exec(script)
  if (!keep) return database.close()
  for (const part of ['', '-wal']) copyFileSync(`${at.path}.other${part}`, `${at.path}${part}`)
  database.close()
  for (const name of readdirSync(at.folder)) if (name.includes('.other')) rmSync(join(at.folder, name))
}

describe('at start', () => {
  it('a folder that is missing is told, and not made', async () => {
    const missing = join(at.folder, 'data', 'tasks.db')
    assert.match(await refusal(missing), /cannot be made: its folder does not exist; make it first/)
    assert.deepEqual(readdirSync(at.folder), [])
  })

  it('a folder in place of a file is told', async () => {
    mkdirSync(at.path)
    assert.match(await refusal(), /cannot be opened; is it a directory/)
  })

  it('a text is left as it is, byte for byte, and nothing is put beside it', async () => {
    writeFileSync(at.path, 'Dear diary, '.repeat(1_000))
    const before = contents()
    assert.match(
      await refusal(),
      /what stands there is no database of ours, and was left as it is; choose another path/,
    )
    assert.deepEqual(contents(), before)
  })

  it('a text of a few letters too', async () => {
    writeFileSync(at.path, 'Dear')
    const before = contents()
    assert.match(await refusal(), /is no database of ours/)
    assert.deepEqual(contents(), before)
  })

  it('the database of another application is left as it is', async () => {
    foreignFile('CREATE TABLE invoices (a); INSERT INTO invoices VALUES (1)')
    const before = contents()
    assert.match(await refusal(), /is the database of another application, and was left as it is; choose another path/)
    assert.deepEqual(contents(), before)
  })

  it('so it is with what another application has left in its -wal file', async () => {
    foreignFile('PRAGMA journal_mode = WAL; CREATE TABLE invoices (a); INSERT INTO invoices VALUES (1)', true)
    const before = contents()
    assert.deepEqual([...before.keys()], ['tasks.db', 'tasks.db-wal'])
    assert.match(await refusal(), /is the database of another application/)
    assert.deepEqual(contents(), before)
  })

  it('so it is while the other application has it open', async () => {
    const other = openDatabase(at.path)
    at.after(() => other.close())
    other.exec('PRAGMA journal_mode = WAL; CREATE TABLE invoices (a); INSERT INTO invoices VALUES (1)')
    const before = contents()
    assert.match(await refusal(), /is the database of another application/)
    assert.deepEqual(contents().get('tasks.db-wal'), before.get('tasks.db-wal'))
    assert.deepEqual(contents().get('tasks.db'), before.get('tasks.db'))
    other.exec('INSERT INTO invoices VALUES (2)')
  })

  it('a file of no bytes is ours to take', async () => {
    writeFileSync(at.path, '')
    const { runner } = await opened(at)
    await (await runner.submit('work', '')).wait()
    assert.equal((await runner.counts()).succeeded, 1)
  })

  it('a path with odd characters is a path', async () => {
    at.path = join(at.folder, 'tä sks%20#1?.db')
    await (await opened(at)).runner.close()
    const { runner } = await opened(at)
    await (await runner.submit('work', '')).wait()
    await runner.close()
    assert.ok(readdirSync(at.folder).includes('tä sks%20#1?.db'))
  })

  it('a path that begins at the working directory stays the same file when that changes', async () => {
    const before = process.cwd()
    at.after(() => process.chdir(before))
    process.chdir(at.folder)
    const { runner, faults } = create(at, 'tasks.db')
    process.chdir(before)
    await runner.ready()
    assert.deepEqual(readdirSync(at.folder).toSorted(), ['tasks.db', 'tasks.db-shm', 'tasks.db-wal'])
    process.chdir(tmpdir())
    await new Promise((resolve) => setTimeout(resolve, 300)) // the next look at the file is due
    await (await runner.submit('work', '')).wait()
    assert.deepEqual(faults, [])
  })

  it('a link leads to the file: what is lost there is noticed, and both names are one backlog', async () => {
    const link = join(at.folder, 'link.db')
    symlinkSync(at.path, link)
    assert.match(await refusal(link), /cannot be made: it is a link to a file that is not there/)
    const { runner } = await opened(at)
    const linked = create(at, link)
    const { id } = await linked.runner.submit('work', '')
    await runner.wait(id)
    await runner.close()
    assert.deepEqual(readdirSync(at.folder).toSorted(), ['link.db', 'tasks.db', 'tasks.db-shm', 'tasks.db-wal'])
    rmSync(`${at.path}-wal`)
    await eventually('it is noticed', () => linked.faults.length > 0)
    assert.match(String(linked.faults[0]), /tasks\.db-wal was removed/)
  })

  it('a damaged file is told', async () => {
    const { runner } = await opened(at)
    await runner.submit('work', PRIVATE)
    await runner.close()
    const database = openDatabase(at.path)
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    database.close()
    for (const part of ['-wal', '-shm']) rmSync(`${at.path}${part}`, { force: true })
    overwrite(at.path, 4_096, statSync(at.path).size)
    const told = await refusal()
    assert.match(told, /is damaged, and what stood in it is gone; move it away.*put a backup in its place.*start again/)
    assert.doesNotMatch(told, new RegExp(PRIVATE))
  })

  it('a file that cannot be written is told', async () => {
    await (await opened(at)).runner.close()
    for (const name of readdirSync(at.folder)) chmodSync(join(at.folder, name), 0o444)
    chmodSync(at.folder, 0o555)
    const told = await asNobody(() => refusal())
    chmodSync(at.folder, 0o755)
    assert.match(told, /cannot be written; let this user write the file and its folder/)
  })

  it('a file that cannot be made is told', async () => {
    chmodSync(at.folder, 0o555)
    const told = await asNobody(() => refusal())
    chmodSync(at.folder, 0o755)
    assert.match(told, /cannot be made: its folder cannot be written; let this user write it, or choose another path/)
  })

  it('a file that cannot be read is told', async () => {
    await (await opened(at)).runner.close()
    for (const name of readdirSync(at.folder)) chmodSync(join(at.folder, name), 0o000)
    chmodSync(at.folder, 0o777)
    assert.match(await asNobody(() => refusal()), /cannot be opened; is it a directory, or may this user not read it/)
  })

  it('what is made is for its owner alone, whatever the umask', async () => {
    const before = process.umask(0)
    at.after(() => process.umask(before))
    const { runner } = await opened(at)
    await runner.submit('work', PRIVATE)
    assert.deepEqual(
      readdirSync(at.folder)
        .toSorted()
        .map((name) => `${name} ${(statSync(join(at.folder, name)).mode & 0o777).toString(8)}`),
      ['tasks.db 600', 'tasks.db-shm 600', 'tasks.db-wal 600'],
    )
  })
})

/** As a user without rights; root may write whatever there is. */
async function asNobody<Answer>(work: () => Promise<Answer>): Promise<Answer> {
  if (process.getuid?.() !== 0) return await work()
  if ((statSync(at.folder).mode & 0o777) === 0o700) chmodSync(at.folder, 0o755)
  process.seteuid?.(65_534)
  try {
    return await work()
  } finally {
    process.seteuid?.(0)
  }
}
