/** The group commit over a database that does as it is told: what is asked, what is answered, and in what order. */
import assert from 'node:assert/strict'
import { EngineError, InvalidStateError } from 'background-runner'
import fc from 'fast-check'
import { describe, it, vi } from 'vitest'
import { turns } from '../../src/testing/real-time.js'
import { busy, constraint, full } from './support/fake-database.js'
import { isEngineError, pass, stopTheClock, transactions, world } from './support/group-world.js'

stopTheClock()

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
    assert.deepEqual([w.database.committed, w.database.strays], [['a'], []])
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
          await pass(10_000) // up to 24 faults in a row, each waited out
          let all = false
          void Promise.all(settled).then(() => {
            all = true
          })
          await turns(50)
          assert.ok(all, 'each is answered')
          assert.deepEqual(w.database.committed, answers)
          assert.deepEqual(w.database.strays, [])
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
