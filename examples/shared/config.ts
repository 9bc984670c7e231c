/** The environment variables of the examples: read once at the start, so that a mistake shows then and not with the first mail. */
import { InvalidInputError } from 'background-runner'
import { emailTask } from 'background-runner/email'
import { engineAt, ISOLATIONS, type Isolation } from './tasks.js'

export interface Config {
  readonly port: number
  /** Whoever reaches it can send mail: the default is this machine only. */
  readonly host: string
  /** Absent: mails go to a catcher inside this process, which shows them at /outbox. */
  readonly smtpUrl: string | undefined
  readonly mailFrom: string
  /** Mails that are sent at once. */
  readonly concurrency: number
  /** ms before the first retry of a mail; each further one waits twice as long. Absent: as `emailTask` does it. */
  readonly retryDelay: number | undefined
  /** The file that the tasks are kept in; `memory`: none, what waits ends with the process. */
  readonly databasePath: string
  /** Where pictures are rendered. */
  readonly isolation: Isolation
  /** What opens the dashboard; absent: it is open to this machine, and closed where HOST lets others in. */
  readonly tasksToken: string | undefined
}

/** @throws {ConfigError} naming each variable that is wrong */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const problems: string[] = []

  // A variable that is set to nothing counts as not set: Docker Compose passes unset ones on like that.
  const text = (name: string): string | undefined => env[name]?.trim() || undefined

  const whole = (name: string, least: number, most: number): number | undefined => {
    const value = text(name)
    if (value === undefined) return undefined
    const number = Number(value)
    if (/^\d+$/.test(value) && number >= least && number <= most) return number
    problems.push(`${name} must be a whole number from ${least} to ${most}, not "${value}"`)
    return undefined
  }

  const oneOf = <Word extends string>(name: string, words: readonly Word[]): Word | undefined => {
    const value = text(name)
    const word = words.find((each) => each === value)
    if (value !== undefined && word === undefined)
      problems.push(`${name} must be one of ${words.join(', ')}, not "${value}"`)
    return word
  }

  const config: Config = {
    port: whole('PORT', 0, 65_535) ?? 3000,
    host: text('HOST') ?? '127.0.0.1',
    smtpUrl: text('SMTP_URL'),
    mailFrom: text('MAIL_FROM') ?? 'Background Runner <noreply@example.com>',
    concurrency: whole('CONCURRENCY', 1, 1_000) ?? 10,
    retryDelay: whole('RETRY_DELAY', 0, 86_400_000),
    databasePath: text('DATABASE_PATH') ?? 'tasks.db',
    isolation: oneOf('ISOLATION', ISOLATIONS) ?? 'thread',
    tasksToken: text('TASKS_TOKEN'),
  }
  problems.push(...mailProblems(config), ...databaseProblems(config))
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  return config
}

/** What the environment asks for cannot be done; the message is for the person who started the program. */
export class ConfigError extends Error {}

/** The library knows best which URL and which sender it takes, and shows no password when it refuses one. */
function mailProblems({ smtpUrl = 'smtp://localhost', mailFrom }: Config): string[] {
  try {
    emailTask({ transport: smtpUrl, from: mailFrom })
    return []
  } catch (error) {
    return issuesOf(error).map(({ path, message }) => `${path[0] === 'from' ? 'MAIL_FROM' : 'SMTP_URL'} ${message}`)
  }
}

/** Whether it can be opened is seen when it is. */
function databaseProblems({ databasePath }: Config): string[] {
  try {
    engineAt(databasePath)
    return []
  } catch (error) {
    return issuesOf(error).map(({ message }) => `DATABASE_PATH ${message}`)
  }
}

function issuesOf(error: unknown): InvalidInputError['issues'] {
  if (!(error instanceof InvalidInputError)) throw error
  return error.issues
}
