/** A file that is removed, replaced or damaged while it is open: noticed soon, and nobody pretends to work. */
import assert from 'node:assert/strict'
import {
  copyFileSync,
  existsSync,
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
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
describe('while it is open', () => {
  const befalls: Record<string, { readonly by: () => void; readonly told: RegExp }> = {
    removed: {
      by: () => unlinkSync(at.path),
      told: /tasks\.db was removed while it was in use, and what stood in it is gone/,
    },
    'moved away': { by: () => renameSync(at.path, `${at.path}.old`), told: /tasks\.db was removed/ },
    'removed with all that belongs to it': {
      by: () => {
        for (const part of ['', '-wal', '-shm']) unlinkSync(`${at.path}${part}`)
      },
      told: /tasks\.db was removed/,
    },
    'replaced by another one': {
      by: () => {
        copyFileSync(at.path, `${at.path}.copy`)
        renameSync(`${at.path}.copy`, at.path)
      },
      told: /tasks\.db was replaced by another file while it was in use/,
    },
    'robbed of its -wal': {
      by: () => unlinkSync(`${at.path}-wal`),
      told: /tasks\.db-wal was removed while it was in use/,
    },
    emptied: {
      by: () => truncateSync(at.path),
      told: /tasks\.db was (?:emptied|overwritten) while it was in use|no database of ours/,
    },
    'overwritten from its first byte': {
      by: () => overwrite(at.path, 0, statSync(at.path).size),
      told: /overwritten|no database of ours/,
    },
    'overwritten but for its first page': {
      by: () => overwrite(at.path, 4_096, statSync(at.path).size),
      told: /damaged/,
    },
    'cut in half': { by: () => truncateSync(at.path, 8_192), told: /damaged/ },
    'overwritten by the database of another application': {
      by: () => {
        const other = openDatabase(`${at.path}.other`)
        other.exec('CREATE TABLE invoices (a)')
        other.close()
        writeFileSync(at.path, readFileSync(`${at.path}.other`))
      },
      told: /overwritten|damaged|no database of ours/,
    },
  }
  for (const [what, { by, told }] of Object.entries(befalls)) {
    it(`a file that is ${what}: soon noticed, nobody pretends to work, and close works`, async () => {
      const { runner, faults, end } = await opened(at)
      await (await runner.submit('work', PRIVATE)).wait()
      const long = await runner.submit('long')
      await eventually('it runs', async () => (await long.status())?.state === 'running')
      if (/overwritten|cut/.test(what)) checkpoint() // what still stands in the -wal would mend it
      by()
      if (what === 'removed') await eventually('it is told, though nobody asks', () => faults.length > 0, 2_000)
      await eventually('submit is refused', () =>
        runner.submit('work', PRIVATE).then(
          () => false,
          () => true,
        ),
      )
      for (const ask of [
        () => runner.submit('work', PRIVATE),
        () => runner.submitMany('work', [PRIVATE]),
        () => long.status(),
        () => runner.counts(),
        () => runner.cancel(long.id),
      ]) {
        await assert.rejects(ask(), (error) => {
          assert.ok(error instanceof EngineError, String(error))
          assert.match(error.message, told)
          assert.match(error.message, /what stood in it is gone|left as it is/)
          assert.doesNotMatch(error.message, new RegExp(PRIVATE))
          return true
        })
      }
      end()
      const { completed, returned, pending } = await runner.close({ deadline: 100 })
      assert.deepEqual({ completed, returned, pending }, { completed: 0, returned: 0, pending: 0 })
    })
  }

  it('nobody waits for what it held, it is told once, and close drains nothing', async () => {
    const { runner, faults, end } = await opened(at)
    runner.concurrency = 2
    const running = await runner.submit('long')
    await runner.pause()
    const queued = await runner.submit('work', PRIVATE)
    await eventually('it runs', async () => (await running.status())?.state === 'running')
    const waiting = [running.wait(), queued.wait(), queued.result(), runner.onIdle()]
    unlinkSync(at.path)
    for (const each of await Promise.allSettled(waiting)) {
      assert.ok(each.status === 'rejected' && each.reason instanceof EngineError, JSON.stringify(each))
      assert.match(each.reason.message, /was removed while it was in use, and what stood in it is gone/)
    }
    await assert.rejects(queued.wait(), EngineError)
    await assert.rejects(runner.onIdle(), EngineError)
    end()
    await new Promise((resolve) => setTimeout(resolve, 1_500)) // what is told again and again is told by then
    assert.equal(faults.length, 1)
    assert.deepEqual(await runner.close({ drain: true, deadline: 100 }), {
      completed: 0,
      returned: 0,
      abandoned: 1,
      pending: 0,
    })
  })

  it('a file that has taken its place is not touched by our close', async () => {
    const { runner, faults } = await opened(at)
    await (await runner.submit('work', '')).wait()
    const other = join(at.folder, 'other.db')
    const { runner: maker } = create(at, other)
    await (await maker.submit('work', '')).wait()
    await maker.close()
    renameSync(other, at.path)
    for (const part of ['-wal', '-shm']) {
      unlinkSync(`${at.path}${part}`)
      if (existsSync(`${other}${part}`)) renameSync(`${other}${part}`, `${at.path}${part}`)
    }
    const next = await opened(at)
    await (await next.runner.submit('work', 'in the new one')).wait()
    await eventually('it is told', () => faults.length > 0, 2_000)
    const before = readdirSync(at.folder)
    await runner.close()
    assert.deepEqual(readdirSync(at.folder), before)
    assert.equal((await next.runner.counts()).succeeded, 2)
    await next.runner.close()
    assert.equal((await (await opened(at)).runner.counts()).succeeded, 2)
  })

  it('a second name for the file, and a look at it from elsewhere, are no faults', async () => {
    const { runner, faults } = await opened(at)
    linkSync(at.path, join(at.folder, 'also.db'))
    const database = openDatabase(at.path)
    at.after(() => database.close())
    database.exec('SELECT * FROM tasks')
    checkpoint()
    await new Promise((resolve) => setTimeout(resolve, 1_200))
    await (await runner.submit('work', '')).wait()
    assert.deepEqual(faults, [])
  })

  function checkpoint(): void {
    const database = openDatabase(at.path)
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    database.close()
  }
})
