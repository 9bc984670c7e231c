/**
 * One message to three recipients, sent by a real runner through a server that misbehaves at first, and everything that
 * is told about it: how the first attempt ended, how the task did, whether the others of its name were held meanwhile.
 */
import { BackgroundRunner, type RunnerOptions, type TaskMap, type TaskRecord } from 'background-runner'
import { type EmailMessage, type EmailTaskOptions, emailTask } from 'background-runner/email'
import { expect, onTestFinished } from 'vitest'
import { compareMailboxes, NO_FAULTS, outcomesOf, type Status } from '../support/compare-mailboxes.js'
import { FROM, type MailRunner, smtpServer } from '../support/email.js'
import { fastClock } from '../support/fast-clock.js'
import type { SmtpServer, SmtpServerOptions } from '../support/smtp-server.js'

export const ADA = 'ada@example.com'
export const BOB = 'bob@example.com'
export const EVE = 'eve@example.com'
export const MESSAGE: EmailMessage = { to: [ADA, BOB], cc: EVE, subject: 'Hi', text: 'Hello' }
export const ATTEMPTS = 4

/** More than sockets buffer between them: the final dot is not sent before the server has read most of it. */
export const LARGE: EmailMessage = {
  ...MESSAGE,
  text: `${'All work and no play makes Jack a dull boy.\n'.repeat(130_000)}`,
}

/** ms. What a server gets for a reply, where a test has it freeze; long beside what this process takes for its own part. */
export const PATIENCE = { socketTimeout: 300, greetingTimeout: 300 }

/** What is held for 5 s is held for 0.1 s. */
const FACTOR = 50

type Options = Partial<EmailTaskOptions>

export function trialRunner(
  transport: EmailTaskOptions['transport'],
  options: Options = {},
  more: RunnerMore = {},
): MailRunner {
  const runner: MailRunner = new BackgroundRunner({
    tasks: {
      email: emailTask({
        transport,
        from: FROM,
        timeout: '2h',
        retry: { attempts: ATTEMPTS, backoff: { type: 'fixed', delay: 1 } },
        ...options,
      }),
    },
    clock: fastClock(FACTOR),
    limits: { input: 32 * 1024 * 1024 },
    ...more,
  })
  onTestFinished(async () => void (await runner.close({ deadline: 0, drain: false })))
  return runner
}

type RunnerMore = Partial<Omit<RunnerOptions<TaskMap>, 'tasks'>>

export interface Trial {
  readonly server: SmtpServer
  readonly runner: MailRunner
  /** After the first attempt. */
  readonly first: TaskRecord
  readonly last: TaskRecord
  /** `held` events, so many. */
  readonly held: number
}

export interface TrialOptions extends Options {
  readonly server?: SmtpServerOptions
  /** Nodemailer's options beside the URL. */
  readonly client?: object
  readonly message?: EmailMessage
}

/** Mails once and waits for the end; what is recorded must be what is in the mailboxes. */
export async function trial({ server: options, client, message = MESSAGE, ...task }: TrialOptions): Promise<Trial> {
  const server = await smtpServer(options)
  const runner = trialRunner({ url: server.url, ...client }, task)
  const firsts: TaskRecord[] = []
  for (const event of ['retrying', 'succeeded', 'failed'] as const)
    runner.on(event, (record) => void firsts.push(record))
  const held = countHeld(runner)
  const last = await (await runner.submit('email', message)).wait()
  await runner.close()
  expectTruth(server, [last], task.onUnknown)
  return { server, runner, first: firsts[0] as TaskRecord, last, held: held() }
}

/** Of a server that nobody talks to any more. */
export function expectTruth(
  server: SmtpServer,
  records: readonly TaskRecord[],
  onUnknown: 'retry' | 'fail' = 'retry',
): void {
  expect(compareMailboxes(server, records, { onUnknown }).faults).toEqual(NO_FAULTS)
}

export function countHeld(runner: MailRunner): () => number {
  let held = 0
  runner.on('held', () => {
    held += 1
  })
  return () => held
}

/** What a record says of each recipient. */
export function statuses(record: TaskRecord): Readonly<Record<string, Status | undefined>> {
  return Object.fromEntries(Object.entries(outcomesOf(record) ?? {}).map(([address, { status }]) => [address, status]))
}

export function everybody(status: Status): Readonly<Record<string, Status>> {
  return { [ADA]: status, [BOB]: status, [EVE]: status }
}

/** A record in a line: what a row of the verdict table says. */
export function told(record: TaskRecord | undefined): object {
  if (record === undefined) return { state: undefined }
  const { state, attempt, maxAttempts, error } = record
  return { state, attempt, uncounted: maxAttempts - ATTEMPTS, code: error?.code }
}
