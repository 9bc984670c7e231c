/**
 * A mass of tasks of which one in twenty crashes, hangs, allocates without end or leaves something behind: every other one
 * succeeds, no worker is lost or left, and memory returns to its level.
 */
import assert from 'node:assert/strict'
import { afterAll, describe, it } from 'vitest'
import { Program } from './support/program.js'
import type { StormReport, StormSettings } from './support/storm.js'

const ALL = process.env['CI'] === 'true'
const TASKS = ALL ? 2_000 : 200
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1_000_000))

const programs: Program[] = []
afterAll(async () => {
  for (const program of programs) await program.kill()
})

/** MB that may be gained: fragments, and what a process keeps for the next time. */
const HEAP = 3
const RSS = 60

async function storm(settings: StormSettings): Promise<void> {
  const program = await Program.start(new URL('support/storm.ts', import.meta.url), settings, ['--expose-gc'])
  programs.push(program)
  const [told] = await program.tells('report')
  const { wrong, deeds, ...figures } = told as unknown as StormReport
  const again = `SEED=${SEED} repeats it`
  console.log(`${settings.place}: ${JSON.stringify(figures)}, ${again}`)
  assert.deepEqual(wrong, [], again)
  assert.ok(figures.heap < HEAP && figures.rss < RSS, `${JSON.stringify(figures)}, ${again}`)
  assert.deepEqual(await program.ended(), { code: 0, signal: null })
}

describe('a storm', () => {
  it.each(['thread', 'process'] as const)(
    'over tasks in a %s',
    async (place) => {
      await storm({ place, seed: SEED, tasks: TASKS })
    },
    180_000,
  )

  it.runIf(ALL)(
    'over tasks in a process, on sqlite',
    async () => {
      await storm({ place: 'process', seed: SEED, tasks: TASKS / 10, durable: true })
    },
    180_000,
  )
})
