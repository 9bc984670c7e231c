/** Many mails, a server that fails at random, processes that are killed on the way: the records against the mailboxes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TaskRecord } from 'background-runner'
import { afterAll, describe, expect, it } from 'vitest'
import { compareMailboxes, NO_FAULTS, outcomesOf } from '../support/compare-mailboxes.js'
import { type Delivery, type Stage, startSmtpServer } from '../support/smtp-server.js'
import { Mailers } from './chaos/mailers.js'
import { mailAndKill, tableOf } from './chaos/mass.js'

const [MAILS, KILLS] = process.env['CI'] === 'true' ? [2_000, 20] : [200, 6]
const ADA = 'ada@example.com'
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1_000_000))

const folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('processes that mail from one file and are killed again and again', () => {
  it('tell the truth about every recipient, and nobody gets a mail twice but through unknown', async () => {
    const report = await mailAndKill({
      path: join(folder, 'mails.db'),
      seed: SEED,
      mails: MAILS,
      kills: KILLS,
      processes: 2,
    })
    console.log(`SEED=${SEED}\n${tableOf(report)}`)
    const { again, once, kills, faults } = report
    expect({ again: again.faults, once: once.faults, faults }, `SEED=${SEED}`).toEqual({
      again: NO_FAULTS,
      once: NO_FAULTS,
      faults: [],
    })
    expect([kills, again.mails + once.mails]).toEqual([KILLS, MAILS])
    expect(once.twice).toBe(0)
  }, 120_000)
})

describe('a process that is killed', () => {
  async function killedAt(stage: Stage, store: boolean): Promise<Record<string, unknown>> {
    const server = await startSmtpServer()
    await using mailers = await Mailers.over(join(folder, `${stage}-${store}.db`), server)
    server.hooks[stage] = ({ client }) =>
      mailers.kills === 0 && mailers.kill(client) ? { drop: true, store } : undefined
    // It has no name before it says EHLO.
    if (stage === 'greeting') server.hooks.greeting = () => void (mailers.kills === 0 && mailers.kill())
    const handle = await mailers.runner.submit('once', {
      to: [ADA, 'bob@example.com'],
      subject: 'Hi',
      text: 'Hi',
    })
    mailers.start()
    const record = await handle.wait()
    await mailers.stop()
    await server.settled()
    expect(compareMailboxes(server, [record], { onUnknown: 'fail' }).faults).toEqual(NO_FAULTS)
    expect(mailers.faults).toEqual([])
    await server.close()
    const status = outcomesOf(record)?.[ADA]?.status
    return { state: record.state, code: record.error?.code, status, kills: mailers.kills }
  }

  it.each(['greeting', 'ehlo', 'mail', 'rcpt', 'data'] as const)(
    'at %s has mailed nobody, and the next one knows',
    async (stage) => {
      expect(await killedAt(stage, false)).toEqual({ state: 'succeeded', code: undefined, status: 'sent', kills: 1 })
    },
    30_000,
  )

  it.each([true, false])(
    'after the final dot has mailed or not (%s): the next one knows that it does not know',
    async (store) => {
      expect(await killedAt('end', store)).toEqual({
        state: 'failed',
        code: 'UNKNOWN_OUTCOME',
        status: 'unknown',
        kills: 1,
      })
    },
    30_000,
  )
})

describe('who compares the records with the mailboxes', () => {
  const UNANSWERED = { answered: false }
  const record = (status: string | undefined, more: object = {}): TaskRecord => {
    const details = status === undefined ? {} : { recipients: { [ADA]: { status } } }
    const outcome =
      status === 'sent' ? { state: 'succeeded', output: details } : { state: 'failed', error: { details } }
    return { id: 'a', createdAt: 36, input: { to: ADA }, attempts: [], ...outcome, ...more } as unknown as TaskRecord
  }
  const delivery = (more: object = {}): Delivery =>
    ({ messageId: '<a.10@example.com>', to: [ADA], answered: true, ...more }) as unknown as Delivery
  const faults = (deliveries: Delivery[], of: TaskRecord, onUnknown: 'retry' | 'fail' = 'retry'): string[] => {
    const { faults } = compareMailboxes({ deliveries }, [of], { onUnknown })
    return Object.entries(faults).flatMap(([name, found]) => found.map(() => name))
  }
  const lost = { attempts: [{ number: 1, error: { details: { recipients: { [ADA]: { status: 'unknown' } } } } }] }
  const died = { attempts: [{ number: 1, outcome: 'crashed' }] }

  it('finds nothing where nothing is', () => {
    expect(faults([delivery()], record('sent'))).toEqual([])
    for (const status of ['failed', 'rejected', 'dropped', 'unknown']) expect(faults([], record(status))).toEqual([])
    expect(faults([delivery(UNANSWERED), delivery()], record('sent', lost))).toEqual([])
    expect(faults([delivery(), delivery()], record('sent', died))).toEqual([])
  })

  it('finds who was recorded as having it and has it not, and the other way round', () => {
    expect(faults([], record('sent'))).toEqual(['missing'])
    for (const status of ['failed', 'rejected', 'dropped'])
      expect(faults([delivery(UNANSWERED)], record(status))).toEqual(['denied'])
  })

  it('finds who has it twice for no reason', () => {
    expect(faults([delivery(UNANSWERED), delivery()], record('sent'))).toEqual(['wronglyTwice'])
    const three = [delivery(UNANSWERED), delivery(UNANSWERED), delivery()]
    expect(faults(three, record('sent', lost)), 'one was lost').toEqual(['wronglyTwice'])
    expect(faults(three.slice(1), record('sent', lost), 'fail')).toEqual(['wronglyTwice'])
  })

  it('finds mail that nobody asked for, and tasks that say nothing', () => {
    expect(faults([delivery(), delivery({ to: ['eve@example.com'] })], record('sent'))).toEqual(['strange'])
    expect(faults([delivery(), delivery({ messageId: '<b.10@example.com>' })], record('sent'))).toEqual(['strange'])
    expect(faults([], record(undefined))).toEqual(['unfinished'])
    expect(faults([delivery()], record('sent', { state: 'running' }))).toEqual(['unfinished'])
  })
})
