/** The matrix: whatever a server does at whatever stage, the verdict is that of the table and the record is the truth. */
import { describe, expect, it, vi } from 'vitest'
import { MATRIX, type Row } from './matrix.js'
import { ADA, everybody, statuses, told, trial } from './trial.js'

// A server that freezes, and messages that are too large for any buffer, take their time on a busy machine.
vi.setConfig({ testTimeout: 30_000 })

const named = (rows: readonly Row[]): (readonly [string, Row])[] => rows.map((row) => [row.name, row])
const having = (verdict: Row['verdict']): (readonly [string, Row])[] =>
  named(MATRIX.filter((row) => row.verdict === verdict))

function run(
  { server, client, message }: Row,
  more: Partial<Parameters<typeof trial>[0]> = {},
): ReturnType<typeof trial> {
  return trial({ server: server(), client, ...(message && { message }), ...more })
}

describe('a mail goes on in the same attempt after', () => {
  it.each(having('sent'))('%s', async (_, row) => {
    const { last } = await run(row)
    expect(told(last)).toEqual({ state: 'succeeded', attempt: 1, uncounted: 0, code: undefined })
    expect(statuses(last)).toEqual(everybody('sent'))
  })
})

describe('a mail is tried again, which counts, to whom it has not reached, after', () => {
  it.each(having('retry'))('%s', async (_, row) => {
    const { first, last, held, server } = await run(row)
    expect(told(first)).toEqual({
      state: 'scheduled',
      attempt: 1,
      uncounted: 0,
      code: expect.toBeOneOf([...row.codes]),
    })
    expect(statuses(first)).toEqual(row.first)
    expect(told(last)).toEqual({ state: 'succeeded', attempt: 2, uncounted: 0, code: undefined })
    expect(statuses(last)).toEqual(everybody('sent'))
    expect(last.output).toMatchObject({ complete: true })
    expect(held).toBe(0)
    const again = Object.keys(row.first).filter((address) => row.first[address] === 'failed')
    expect(server.deliveries.at(-1)?.to).toEqual(again)
    // Who gets it later gets the same message.
    for (const { raw } of server.deliveries) expect(raw).toContain(`To: ${ADA}`)
  })
})

describe('a mail fails at once after', () => {
  it.each(having('fail'))('%s', async (_, row) => {
    const { last, server, held } = await run(row)
    expect(told(last)).toEqual({ state: 'failed', attempt: 1, uncounted: 0, code: expect.toBeOneOf([...row.codes]) })
    expect(statuses(last)).toEqual(row.first)
    expect([server.deliveries, held]).toEqual([[], 0])
  })
})

describe('a mail fails at once, having reached the others, after', () => {
  it.each(having('partial'))('%s', async (_, row) => {
    const { last } = await run(row)
    expect(told(last)).toEqual({ state: 'failed', attempt: 1, uncounted: 0, code: 'PARTIALLY_SENT' })
    expect(statuses(last)).toEqual(row.first)
  })

  it.each(having('partial'))('%s, or succeeds, if it may', async (_, row) => {
    const { last } = await run(row, { onPartial: 'succeed' })
    expect(told(last)).toEqual({ state: 'succeeded', attempt: 1, uncounted: 0, code: undefined })
    expect(last.output).toMatchObject({ complete: false })
    expect(statuses(last)).toEqual(row.first)
  })
})

describe('all mail is held, and no attempt is used, after', () => {
  it.each(having('hold'))('%s', async (_, row) => {
    const { first, last, held } = await run(row)
    expect(told(first)).toMatchObject({ state: 'scheduled', attempt: 1, uncounted: 1 })
    expect(statuses(first)).toEqual(everybody('failed'))
    expect(held).toBe(1)
    expect(told(last)).toEqual({ state: 'succeeded', attempt: 2, uncounted: 1, code: undefined })
    expect(statuses(last)).toEqual(everybody('sent'))
  })
})

describe('what became of a mail is unknown after', () => {
  it.each(having('unknown'))('%s: it is tried again under the same Message-ID', async (_, row) => {
    const { first, last } = await run(row)
    expect(told(first)).toEqual({
      state: 'scheduled',
      attempt: 1,
      uncounted: 0,
      code: expect.toBeOneOf([...row.codes]),
    })
    expect(statuses(first)).toEqual(everybody('unknown'))
    expect(told(last)).toEqual({ state: 'succeeded', attempt: 2, uncounted: 0, code: undefined })
    expect(statuses(last)).toEqual(everybody('sent'))
  })

  it.each(having('unknown'))('%s: it fails, if nobody may get it twice', async (_, row) => {
    const { last, server } = await run(row, { onUnknown: 'fail' })
    expect(told(last)).toEqual({ state: 'failed', attempt: 1, uncounted: 0, code: 'UNKNOWN_OUTCOME' })
    expect(statuses(last)).toEqual(everybody('unknown'))
    expect(server.deliveries.length).toBeLessThan(2)
  })
})
