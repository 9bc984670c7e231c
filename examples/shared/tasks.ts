/** The background work of the examples: which tasks there are, and the runner that works on them. */
import { availableParallelism } from 'node:os'
import {
  BackgroundRunner,
  type Duration,
  defineTask,
  type Engine,
  memory,
  type TaskDefinition,
} from 'background-runner'
import { type EmailMessage, type EmailResult, emailTask } from 'background-runner/email'
import { sqlite } from 'background-runner/sqlite'
import { z } from 'zod'
import type { Size } from './picture.js'

/** Where pictures are rendered: on the event loop, as everything else, or elsewhere. */
export const ISOLATIONS = ['inline', 'thread', 'process'] as const
export type Isolation = (typeof ISOLATIONS)[number]

export interface Settings {
  readonly smtpUrl: string
  readonly mailFrom: string
  /** The file that the tasks are kept in, or `memory`. */
  readonly databasePath: string
  /** Mails that are sent at once: over so many connections, by so many slots of the runner. */
  readonly concurrency: number
  /** ms before the first retry; each further one waits twice as long. @default as `emailTask` does it */
  readonly retryDelay?: number | undefined
  /** How often a mail is tried. @default as `emailTask` does it */
  readonly attempts?: number
  /** How long one attempt to send may take. */
  readonly timeout?: Duration
  /** @default a thread */
  readonly isolation?: Isolation
  /** Tasks that may wait; beyond it a request is answered with 503 instead of a promise that may take hours. */
  readonly maxPending?: number
}

export type Runner = BackgroundRunner<{
  email: TaskDefinition<EmailMessage, EmailResult>
  picture: TaskDefinition<Size, string>
}>

/** Pictures that are rendered at once: one processor is left to the requests. */
const PICTURES = Math.max(1, availableParallelism() - 1)

/** Where the tasks are: in a file, which outlives this process however it ends, or in its memory. */
export function engineAt(databasePath: string): Engine {
  return databasePath === 'memory' ? memory() : sqlite({ path: databasePath })
}

export function createRunner(settings: Settings): Runner {
  const { smtpUrl, mailFrom, databasePath, concurrency, retryDelay, attempts } = settings
  const { timeout = '60s', isolation = 'thread', maxPending = 10_000 } = settings
  return new BackgroundRunner({
    tasks: {
      email: emailTask({
        transport: smtpUrl,
        from: mailFrom,
        concurrency,
        timeout,
        retry: {
          ...(attempts !== undefined && { attempts }),
          ...(retryDelay !== undefined && { backoff: { type: 'exponential', delay: retryDelay, jitter: false } }),
        },
      }),
      picture: defineTask<typeof import('./picture.js')>({
        isolation,
        module: new URL('./picture.js', import.meta.url),
        input: z.object({ width: z.number().int().min(100).max(2_000) }),
        concurrency: PICTURES,
        timeout: '60s',
      }),
    },
    engine: engineAt(databasePath),
    concurrency: concurrency + PICTURES, // neither waits for the other
    maxPending,
  })
}
