/** Many mails, a server that fails at random, processes that are killed on the way: the records against the mailboxes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { compareMailboxes, NO_FAULTS, outcomesOf } from '../support/compare-mailboxes.js'
import { type Stage, startSmtpServer } from '../support/smtp-server.js'
import { Mailers } from './chaos/mailers.js'
import { mailAndKill, tableOf } from './chaos/mass.js'

const [MAILS, KILLS] = process.env['CI'] === 'true' ? [2_000, 20] : [200, 6]
const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1_000_000))

const folder = mkdtempSync(join(tmpdir(), 'background-runner-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('processes that mail from one file and are killed again and again', () => {
  it('tell the truth about every recipient, and nobody gets a mail twice but through unknown', async () => {
    const report = await mailAndKill({ folder, seed: SEED, mails: MAILS, kills: KILLS, processes: 2 })
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
      to: ['ada@example.com', 'bob@example.com'],
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
    const status = outcomesOf(record)?.['ada@example.com']?.status
    return { state: record.state, code: record.error?.code, status, kills: mailers.kills }
  }

  it.each(['greeting', 'ehlo', 'mail', 'rcpt'] as const)(
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
