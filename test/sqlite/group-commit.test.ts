/** The group commit over a database that does as it is told: what is asked, what is answered, and what stands in the file. */
import assert from 'node:assert/strict'
import { EngineError, InvalidStateError } from 'background-runner'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, it, vi } from 'vitest'
import { UnusableFileError } from '../../src/sqlite/fault.js'
import { GroupCommit, type Hooks } from '../../src/sqlite/group-commit.js'
import { turns } from '../../src/testing/real-time.js'
import { busy, constraint, corrupt, FakeDatabase, full } from './support/fake-database.js'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => void vi.useRealTimers())

interface World {
  readonly database: FakeDatabase
  readonly group: GroupCommit
  /** Hooks and what else happened, in order. */
  readonly told: string[]
}

function world(hooks: Partial<Hooks> = {}): World {
  const database = new FakeDatabase()
  const told: string[] = []
  const group = new GroupCommit(database, '/data/tasks.db', () => 0.5, {
    check: () => {},
    begun: () => void told.push('begun'),
    beforeCommit: () => void told.push('beforeCommit'),
    committed: () => void told.push('committed'),
    rolledBack: () => void told.push('rolledBack'),
    ...hooks,
  })
  return { database, group, told }
}

/** Lets all happen that happens within `ms`. */
async function pass(ms: number): Promise<void> {
  await turns()
  for (let left = ms; left > 0; left -= 5) {
    await vi.advanceTimersByTimeAsync(Math.min(left, 5))
    await turns(2)
  }
}

const transactions = ({ database }: World): number => database.log.filter((sql) => sql === 'COMMIT').length

function isEngineError(pattern: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof EngineError && error.code === 'ENGINE_ERROR' && pattern.test(error.message)
}

describe('a group', () => {
  it('is one transaction, in the order in which it was asked, answered after its commit', async () => {
    const w = world()
    const answers: string[] = []
    const asked = ['a', 'b', 'c'].map((each) =>
      w.group.write(() => w.database.write(each)).then((answer) => answers.push(answer)),
    )
    assert.deepEqual(w.database.log, [])
    await Promise.all(asked)
    assert.deepEqual(answers, ['a', 'b', 'c'])
    assert.deepEqual(w.database.committed, ['a', 'b', 'c'])
    assert.deepEqual(w.database.log, ['BEGIN IMMEDIATE', 'COMMIT'])
    assert.deepEqual(w.told, ['begun', 'beforeCommit', 'committed'])
  })

  it('refuses what its work refuses, and does the rest', async () => {
    const w = world()
    const refused = w.group.write(() => {
      throw new InvalidStateError('no')
    })
    const done = w.group.write(() => w.database.write('b'))
    await assert.rejects(refused, InvalidStateError)
    assert.equal(await done, 'b')
    assert.equal(transactions(w), 1)
  })

  it('takes in no more after a few ms, and the rest is the next one', async () => {
    const w = world()
    const asked = [1, 2, 3, 4].map((each) =>
      w.group.write(() => {
        vi.advanceTimersByTime(3)
        return w.database.write(String(each))
      }),
    )
    await Promise.all(asked)
    assert.deepEqual(w.database.committed, ['1', '2', '3', '4'])
    assert.equal(transactions(w), 2)
  })

  it('lets the event loop turn between two', async () => {
    const w = world()
    const seen: number[] = []
    for (let n = 0; n < 6; n++) {
      void w.group.write(() => {
        vi.advanceTimersByTime(3)
        return w.database.write(String(n))
      })
    }
    setImmediate(() => seen.push(w.database.committed.length))
    await turns()
    setImmediate(() => seen.push(w.database.committed.length))
    await turns()
    assert.ok(Number(seen[0]) < 6, `all ${seen[0]} were done in one turn`)
    assert.equal(w.database.committed.length, 6)
  })

  it('tells `after` once it is committed, before anybody is answered', async () => {
    const w = world()
    const order: string[] = []
    await w.group
      .write(() => {
        w.group.after(() => order.push(`after ${w.database.committed.length}`))
        w.database.write('a')
      })
      .then(() => order.push('answered'))
    assert.deepEqual(order, ['after 1', 'answered'])
  })

  it('never grows slow for what waits behind it', async () => {
    const w = world()
    let touched = 0
    const count = 20_000
    for (let n = 0; n < count; n++) {
      void w.group.write(() => {
        touched++
        if (n % 100 === 99) vi.advanceTimersByTime(5)
      })
    }
    await turns(300)
    assert.equal(touched, count)
    assert.equal(transactions(w), count / 100)
  })
})

describe('a read', () => {
  it('is answered at once where nothing was asked before it', () => {
    const w = world()
    assert.equal(
      w.group.read(() => 42),
      42,
    )
    assert.deepEqual(w.database.log, [])
  })

  it('comes after what was asked before it, and sees it', async () => {
    const w = world()
    const seen: unknown[] = []
    void w.group.write(() => seen.push('written'))
    const read = w.group.read(() => seen.push('read'))
    void w.group.write(() => seen.push('written later'))
    assert.ok(read instanceof Promise)
    await read
    assert.deepEqual(seen, ['written', 'read', 'written later'])
  })

  it('that finds the file busy is tried again, without a transaction', async () => {
    const w = world()
    let tries = 0
    const read = w.group.read(() => {
      if (++tries < 3) throw busy()
      return tries
    })
    assert.ok(read instanceof Promise)
    await pass(50)
    assert.equal(await read, 3)
    assert.ok(!w.database.log.includes('BEGIN IMMEDIATE'))
  })

  it('that waits does not make a transaction of what comes after it', async () => {
    const w = world()
    let tries = 0
    const read = w.group.read(() => {
      if (++tries < 2) throw busy()
      assert.equal(w.database.isOpen, false)
      return 'read'
    })
    const written = w.group.write(() => w.database.write('a'))
    await pass(50)
    assert.deepEqual(await Promise.all([read, written]), ['read', 'a'])
  })

  it('that fails throws an EngineError with the path', () => {
    const w = world()
    assert.throws(
      () =>
        w.group.read(() => {
          throw full()
        }),
      isEngineError(/^\/data\/tasks\.db: the disk is full; free some space/),
    )
  })
})

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

describe('closing', () => {
  it('does what was asked, at once', async () => {
    const w = world()
    const asked = w.group.write(() => w.database.write('a'))
    const closing = w.group.close()
    assert.deepEqual(w.database.committed, ['a'])
    await closing
    assert.equal(await asked, 'a')
    await assert.rejects(
      w.group.write(() => {}),
      isEngineError(/closed/),
    )
  })

  it('waits a moment for another process that writes', async () => {
    const w = world()
    w.database.faults['BEGIN IMMEDIATE'].push(...Array.from({ length: 10 }, busy))
    const asked = w.group.write(() => w.database.write('verdict'), true)
    const closing = w.group.close()
    await pass(400)
    await closing
    assert.equal(await asked, 'verdict')
  })

  it('gives up on a file that stays busy, and tells everybody', async () => {
    const w = world()
    w.database.faults['BEGIN IMMEDIATE'].push(...Array.from({ length: 1_000 }, busy))
    const asked = [true, false].map((insists) =>
      assert.rejects(
        w.group.write(() => {}, insists),
        isEngineError(/closed/),
      ),
    )
    const closing = w.group.close()
    await pass(1_500)
    await closing
    await Promise.all(asked)
  })

  it('tries once more what a fault has kept, and gives it up if that does not help', async () => {
    const w = world()
    w.database.faults.COMMIT.push(full(), undefined)
    const first = w.group.write(() => w.database.write('verdict'), true)
    await turns()
    await w.group.close()
    assert.equal(await first, 'verdict')

    const other = world()
    other.database.faults.COMMIT.push(...Array.from({ length: 10 }, full))
    const second = assert.rejects(
      other.group.write(() => other.database.write('verdict'), true),
      isEngineError(/closed/),
    )
    await other.group.close()
    await second
    await pass(500)
    assert.deepEqual(other.database.committed, [])
  })
})

describe('whatever goes wrong', () => {
  interface Plan {
    readonly insists: boolean
    readonly reads: boolean
    /** So often its own work fails. */
    readonly fails: number
    readonly refuses: boolean
    /** Asked so many turns later than the one before. */
    readonly later: number
  }
  const plan: fc.Arbitrary<Plan> = fc.record({
    insists: fc.boolean(),
    reads: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
    fails: fc.constantFrom(0, 0, 0, 0, 1, 3),
    refuses: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    later: fc.constantFrom(0, 0, 0, 1),
  })
  const fault = fc.constantFrom(undefined, undefined, busy, full, constraint)

  it('each is answered once, what is answered stands in the file, what is refused does not, and the order is kept', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(plan, { maxLength: 25 }),
        fc.array(fault, { maxLength: 12 }),
        fc.array(fault, { maxLength: 12 }),
        async (plans, begins, commits) => {
          const w = world()
          w.database.faults['BEGIN IMMEDIATE'].push(...begins.map((make) => make?.()))
          w.database.faults.COMMIT.push(...commits.map((make) => make?.()))
          const answers: string[] = []
          const settled: Promise<void>[] = []
          const outcome = new Map<string, 'done' | 'refused'>()
          const undone = new Map<string, number>()
          for (const [at, { insists, reads, fails, refuses, later }] of plans.entries()) {
            for (let turn = 0; turn < later; turn++) await turns(1)
            const name = String(at)
            let left = fails
            const work = (): void => {
              if (refuses) throw new InvalidStateError('no')
              if (left-- > 0) throw new Error('a bug')
              if (reads) return
              w.database.write(name)
              undone.set(name, (undone.get(name) ?? 0) + 1)
              w.group.undo(() => undone.set(name, (undone.get(name) ?? 0) - 1))
            }
            const asked = (async () => (reads ? w.group.read(work) : w.group.write(work, insists)))()
            settled.push(
              asked.then(
                () => {
                  outcome.set(name, 'done')
                  if (!reads) answers.push(name)
                },
                (error) => {
                  if (!(error instanceof EngineError || (refuses && error instanceof InvalidStateError))) throw error
                  outcome.set(name, 'refused')
                },
              ),
            )
          }
          await pass(2_500)
          await Promise.all(settled)
          assert.deepEqual(w.database.committed, answers)
          for (const [at, { insists, reads, refuses }] of plans.entries())
            if (insists && !reads && !refuses) assert.equal(outcome.get(String(at)), 'done', 'what insists is done')
          // One that was never put off keeps its place among its like.
          const prompt = answers.map(Number).filter((at) => !plans[at]?.insists)
          assert.deepEqual(
            prompt,
            prompt.toSorted((a, b) => a - b),
          )
          for (const [name, n] of undone)
            assert.equal(n, outcome.get(name) === 'done' ? 1 : 0, `undone once each (${name})`)
          assert.equal(w.database.isOpen, false)
          assert.equal(w.group.isIdle, true)
        },
      ),
      { numRuns: process.env['CI'] === 'true' ? 200 : 25 },
    )
  })
})
