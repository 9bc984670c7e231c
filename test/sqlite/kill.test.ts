/** What `kill -9` may do to a process that submits and works, and to one of several: nothing that was acknowledged is lost. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TaskRecord } from 'background-runner'
import { afterAll, describe, it } from 'vitest'
import { judge } from './chaos/journal.js'
import { killAndCount } from './chaos/kills.js'

const KILLS = process.env['CI'] === 'true' ? 25 : 5
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1_000_000))

const folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
afterAll(() => rmSync(folder, { recursive: true }))

async function kill(workers: number, lease: number): Promise<void> {
  const report = await killAndCount({ folder, seed: SEED + workers, kills: KILLS, workers, lease })
  const { submitted, lost, stuck, wrong, damaged, faults } = report
  assert.deepEqual({ lost, stuck, wrong, damaged, faults }, nothing, `SEED=${SEED} repeats it`)
  assert.ok(submitted > 0, 'there was something to lose')
}

const nothing = { lost: [], stuck: [], wrong: [], damaged: [], faults: [] }

describe('kill -9', () => {
  it('of a process at any moment: what was acknowledged reaches its end, and only what ran runs twice', async () => {
    await kill(1, 15_000)
  }, 180_000)

  it('of one of four that work on one file, again and again: the same', async () => {
    await kill(4, 1_000)
  }, 180_000)
})

describe('who counts what became of the tasks', () => {
  const task = (more: Partial<TaskRecord>): Map<string, TaskRecord> =>
    new Map([['a', { state: 'succeeded', output: 'done a', attempts: [], ...more } as unknown as TaskRecord]])
  const lines = (text: string): string[][] => text.split(', ').map((line) => line.split(' '))
  const crashed = task({ attempts: [{ number: 1, startedAt: 0, outcome: 'crashed' }] })

  it('finds what is lost, stuck, undone, without its output or what it has saved', () => {
    assert.equal(judge(lines('acknowledged a'), new Map()).lost.length, 1)
    assert.equal(judge(lines('acknowledged a'), task({ state: 'running' })).stuck.length, 1)
    assert.equal(judge(lines('succeeded a 1 7'), task({ state: 'cancelled' })).lost.length, 1)
    assert.equal(judge([], task({ output: 'done b' })).lost.length, 1)
    const forgot = 'begin a 1 7 0, saved a 1 7, killing 7, begin a 2 8 0'
    assert.equal(judge(lines(forgot), crashed).lost.length, 1)
  })

  it('finds what ran twice without having been killed, or after its end', () => {
    const wrong = (text: string, records: Map<string, TaskRecord>): number => judge(lines(text), records).wrong.length
    assert.equal(wrong('begin a 1 7 0, killing 7, begin a 2 8 0', crashed), 0)
    assert.equal(wrong('begin a 1 7 0, begin a 2 8 0', crashed), 1, 'nobody was killed')
    assert.equal(wrong('begin a 1 7 0, killing 7, begin a 1 8 0', crashed), 1, 'the same attempt')
    assert.equal(wrong('begin a 1 7 0, end a 1 7, succeeded a 1 7, killing 7, begin a 2 8 0', task({})), 2)
    assert.equal(wrong('cancelling a, cancelled a, begin a 1 7 0', task({})), 1, 'it was cancelled')
    assert.equal(wrong('acknowledged a', task({ state: 'cancelled' })), 1, 'nobody cancelled it')
  })

  it('lets a failed attempt be followed by another', () => {
    const failed = task({ attempts: [{ number: 1, startedAt: 0, outcome: 'retry' }] })
    const { wrong, ranTwice } = judge(lines('acknowledged a, begin a 1 7 0, end a 1 7, begin a 2 7 0'), failed)
    assert.deepEqual([wrong, ranTwice], [[], 0])
  })
})
