/** The tasks that all processes of the mass test know, and what they share. */

import type { TaskDefinition } from 'background-runner'
import { type EmailMessage, type EmailResult, emailTask } from 'background-runner/email'

export interface Settings {
  /** See `engineAt`. */
  readonly path: string
  readonly url: string
  /** Epoch ms from which the clock of all processes runs ahead. */
  readonly since: number
}

/** What is held for 5 s is held for a quarter of one. */
export const FACTOR = 20

/** Alike but for what is done where nobody knows whether a mail was sent. */
export type Tasks = Readonly<Record<'again' | 'once', TaskDefinition<EmailMessage, EmailResult>>>

/** @param client what the server is told to talk to: it can have that process killed */
export function mailTasks(url: string, client: string): Tasks {
  const options = {
    transport: { url, name: client, socketTimeout: 300, greetingTimeout: 300 },
    from: 'app@example.com',
    concurrency: 5,
    retry: { attempts: 4, backoff: { type: 'exponential', delay: '100ms', max: '2s' } },
  } as const
  return {
    again: emailTask({ ...options, onUnknown: 'retry' }),
    once: emailTask({ ...options, onUnknown: 'fail' }),
  }
}
