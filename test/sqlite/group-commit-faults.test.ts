/** What comes of a group whose transaction fails: who is refused, who is tried again, and when. */
import assert from 'node:assert/strict'
import { EngineError, InvalidStateError } from 'background-runner'
import { describe, it } from 'vitest'
import { UnusableFileError } from '../../src/sqlite/fault.js'
import { turns } from '../../src/testing/real-time.js'
import { busy, constraint, corrupt, full } from './support/fake-database.js'
import { isEngineError, pass, stopTheClock, transactions, world } from './support/group-world.js'

stopTheClock()

describe('a busy file', () => {
  it('keeps nobody from being served later, in order', async () => {
    const w = world()
    w.database.faults['BEGIN IMMEDIATE'].push(busy(), busy(), busy())
    const asked = ['a', 'b'].map((each) => w.group.write(() => w.database.write(each)))
    await pass(100)
    assert.deepEqual(await Promise.all(asked), ['a', 'b'])
    assert.deepEqual(w.database.committed, ['a', 'b'])
  })

  it('at COMMIT undoes the group and does it again', async () => {
    const w = world()
    w.database.faults.COMMIT.push(busy())
    const undone: string[] = []
    let tries = 0
    const asked = ['a', 'b'].map((each) =>
      w.group.write(() => {
        tries++
        w.group.undo(() => undone.push(each))
        w.group.after(() => undone.push(`after ${each}`))
        return w.database.write(each)
      }),
    )
    await pass(100)
    assert.deepEqual(await Promise.all(asked), ['a', 'b'])
    assert.equal(tries, 4)
    assert.deepEqual(undone, ['b', 'a', 'after a', 'after b'], 'the last one is undone first, once')
    assert.deepEqual(w.database.committed, ['a', 'b'])
    assert.deepEqual(w.told, ['begun', 'beforeCommit', 'rolledBack', 'begun', 'beforeCommit', 'committed'])
  })

  it('at COMMIT makes good what was refused before it', async () => {
    const w = world()
    w.database.faults.COMMIT.push(busy())
    let there = true
    const asked = w.group.write(() => {
      if (there) throw new InvalidStateError('it is there already')
      return w.database.write('a')
    })
    await turns()
    there = false
    await pass(50)
    assert.equal(await asked, 'a')
  })

  it('is left in peace for longer and longer, at most some 25 ms', async () => {
    const w = world()
    w.database.faults['BEGIN IMMEDIATE'].push(...Array.from({ length: 1_000 }, busy))
    const waiting = w.group.write(() => {})
    waiting.catch(() => {})
    await pass(1_000)
    const tries = w.database.log.filter((sql) => sql === 'BEGIN IMMEDIATE').length
    assert.ok(tries >= 35 && tries <= 60, `${tries} tries in a second`)
  })

  it('is given up after 10 s, by all but what insists', async () => {
    const w = world()
    w.database.faults['BEGIN IMMEDIATE'].push(...Array.from({ length: 2_000 }, busy))
    const refused = assert.rejects(
      w.group.write(() => w.database.write('a')),
      isEngineError(/tasks\.db: another process holds it for too long/),
    )
    let insisting: unknown
    void w.group
      .write(() => w.database.write('verdict'), true)
      .then((answer) => {
        insisting = answer
      })
    await pass(6_000)
    let young: unknown
    void w.group
      .write(() => w.database.write('young'))
      .then((answer) => {
        young = answer
      })
    await pass(5_000)
    await refused
    assert.deepEqual([insisting, young], [undefined, undefined])
    w.database.faults['BEGIN IMMEDIATE'].length = 0
    await pass(50)
    assert.deepEqual([insisting, young], ['verdict', 'young'])
    assert.deepEqual(w.database.committed, ['verdict', 'young'])
  })
})

describe('a full disk', () => {
  it('refuses what was tried, keeps what insists, and serves who comes later', async () => {
    const w = world()
    w.database.faults.COMMIT.push(full())
    const refused = assert.rejects(
      w.group.write(() => w.database.write('a')),
      isEngineError(/the disk is full; free some space/),
    )
    const verdict = w.group.write(() => w.database.write('verdict'), true)
    await turns()
    await refused
    assert.equal(await w.group.write(() => w.database.write('b')), 'b')
    assert.deepEqual(w.database.committed, ['b'])
    await pass(300)
    assert.equal(await verdict, 'verdict')
    assert.deepEqual(w.database.committed, ['b', 'verdict'])
  })

  it('is asked again four times a second, whatever insists', async () => {
    const w = world()
    w.database.faults.COMMIT.push(...Array.from({ length: 1_000 }, full))
    for (let n = 0; n < 20; n++) void w.group.write(() => w.database.write(`verdict ${n}`), true)
    await pass(2_000)
    const tries = w.database.log.filter((sql) => sql === 'COMMIT').length
    assert.ok(tries >= 6 && tries <= 10, `${tries} tries in 2 s`)
    w.database.faults.COMMIT.length = 0
    await pass(300)
    assert.equal(w.database.committed.length, 20)
  })

  it('leaves reads alone', async () => {
    const w = world()
    w.database.faults.COMMIT.push(full())
    const verdict = w.group.write(() => w.database.write('verdict'), true)
    await turns()
    assert.equal(
      w.group.read(() => 'read'),
      'read',
    )
    assert.equal(w.group.isIdle, true)
    await pass(300)
    await verdict
  })
})

describe('one that fails', () => {
  it('fails alone: the others of its group are done', async () => {
    const w = world()
    const asked = ['a', 'poison', 'c', 'd'].map((each) =>
      w.group.write(() => {
        if (each === 'poison') throw constraint()
        return w.database.write(each)
      }),
    )
    const settled = await Promise.allSettled(asked)
    assert.deepEqual(
      settled.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
    )
    assert.ok(
      isEngineError(/tasks\.db: SQLite refused \(constraint failed\)/)((settled[1] as PromiseRejectedResult).reason),
    )
    assert.deepEqual(w.database.committed, ['a', 'c', 'd'])
  })

  it('costs the others one transaction each, and no more', async () => {
    const w = world()
    let poison = 0
    const asked = Array.from({ length: 50 }, (_, n) =>
      w.group.write(() => {
        if (n === 49) {
          poison++
          throw new Error('a bug')
        }
        return w.database.write(String(n))
      }),
    )
    await Promise.allSettled(asked)
    assert.equal(w.database.committed.length, 49)
    assert.equal(poison, 2)
    assert.equal(transactions(w), 49)
  })

  it('is tried again, if it insists, and is in nobody’s way', async () => {
    const w = world()
    let tries = 0
    const verdict = w.group.write(() => {
      if (++tries < 4) throw new Error('a bug')
      return w.database.write('verdict')
    }, true)
    await turns()
    assert.equal(tries, 1)
    assert.equal(await w.group.write(() => w.database.write('b')), 'b')
    assert.equal(tries, 1)
    await pass(900)
    assert.equal(await verdict, 'verdict')
    assert.equal(tries, 4)
  })

  it('shows nothing of a task whose text cannot be parsed', async () => {
    const w = world()
    const refused = w.group.write(() => JSON.parse('{"password":hunter2}'))
    await assert.rejects(refused, (error: Error) => {
      assert.ok(error instanceof EngineError)
      assert.doesNotMatch(`${error.message} ${String(error.cause)}`, /hunter2/)
      return true
    })
  })
})

describe('a hook that throws', () => {
  for (const hook of ['begun', 'beforeCommit'] as const) {
    it(`before the commit (${hook}) fails the group, and nobody waits for ever`, async () => {
      let throws = true
      const w = world({
        [hook]: () => {
          if (throws) throw new Error('a bug')
        },
      })
      const asked = ['a', 'b'].map((each) => w.group.write(() => w.database.write(each)))
      const settled = await Promise.allSettled(asked)
      for (const each of settled) assert.ok(each.status === 'rejected' && isEngineError(/a bug/)(each.reason))
      assert.deepEqual(w.database.committed, [])
      assert.equal(w.database.isOpen, false)
      throws = false
      assert.equal(await w.group.write(() => w.database.write('c')), 'c')
    })
  }
})

describe('a ROLLBACK that fails', () => {
  it('is done with the next group, and nothing of the first one is left', async () => {
    const w = world()
    w.database.faults.COMMIT.push(full())
    w.database.faults.ROLLBACK.push(full())
    await assert.rejects(
      w.group.write(() => w.database.write('a')),
      isEngineError(/full/),
    )
    assert.equal(w.database.isOpen, true)
    await assert.rejects(w.group.write(() => w.database.write('b')))
    assert.equal(await w.group.write(() => w.database.write('c')), 'c')
    assert.deepEqual(w.database.committed, ['c'])
  })
})

describe('a damaged file', () => {
  it('ends it all: what was asked, what insists, and what is asked from then on', async () => {
    const w = world()
    w.database.faults.COMMIT.push(full())
    const verdict = assert.rejects(
      w.group.write(() => w.database.write('verdict'), true),
      isEngineError(/damaged/),
    )
    await turns()
    const asked = ['a', 'b'].map((each) =>
      w.group.write(() => {
        if (each === 'b') throw corrupt()
        return w.database.write(each)
      }),
    )
    for (const each of asked)
      await assert.rejects(each, isEngineError(/tasks\.db: it is damaged, and what stood in it is gone/))
    await verdict
    const { length } = w.database.log
    await assert.rejects(
      w.group.write(() => {}),
      isEngineError(/damaged/),
    )
    assert.throws(() => w.group.read(() => {}), isEngineError(/damaged/))
    await pass(500)
    assert.equal(w.database.log.length, length, 'and the file is left alone')
    await w.group.close()
  })

  it('is found by a read too', async () => {
    const w = world()
    const asked = assert.rejects(
      w.group.write(() => w.database.write('a')),
      isEngineError(/damaged/),
    )
    const read = w.group.read(() => {
      throw corrupt()
    })
    await assert.rejects(Promise.resolve(read), isEngineError(/damaged/))
    await asked
    const other = world()
    assert.throws(
      () =>
        other.group.read(() => {
          throw corrupt()
        }),
      isEngineError(/damaged/),
    )
    await assert.rejects(
      other.group.write(() => {}),
      isEngineError(/damaged/),
    )
  })

  it('is looked for before each group and each read', async () => {
    let gone = false
    const w = world({
      check: () => {
        if (gone) throw new UnusableFileError('it was removed')
      },
    })
    await w.group.write(() => w.database.write('a'))
    gone = true
    await assert.rejects(
      w.group.write(() => w.database.write('b')),
      isEngineError(/removed/),
    )
    gone = false
    assert.throws(() => w.group.read(() => {}), isEngineError(/removed/), 'it stays gone')
    assert.deepEqual(w.database.committed, ['a'])
  })
})
