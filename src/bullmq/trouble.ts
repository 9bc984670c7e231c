/** What goes wrong between BullMQ's store and where it keeps its jobs. */
import { BackgroundRunnerError, EngineError } from '../errors.js'

/** Between two tries to reach it again: at first, and at most, ms. */
export const RETRY = { first: 50, most: 1_000 }
/** After so long a connection of PostgreSQL is given up that owes an answer, ms: nobody may be there any more. */
export const SILENCE = 8_000

/** @param where the name of the backend */
export function asEngineError(where: string, error: unknown): unknown {
  if (error instanceof BackgroundRunnerError) return error
  // What was asked of Redis: inputs, and the password.
  if (error instanceof Error && 'command' in error) delete error.command
  return new EngineError(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
}

/** Of PostgreSQL: it gave up this transaction for another one's. And of BullMQ: the job is not as it was a moment ago. */
const LOST = new Set(['40001', '40P01', 'BM001'])
/** Of PostgreSQL, beside those of class 08: it ends, begins, or has no room. And of Node. */
const AWAY = new Set(['57P01', '57P02', '57P03', '53300', 'EPIPE', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT'])
/** Of node-postgres. */
const AWAY_TEXT =
  /^(?:Connection terminated|timeout e|Query read timeout|Client has encountered a connection error|Client was closed)/

/** PostgreSQL has written nothing of what was asked: it can be asked again at once. */
export function hasLost(error: unknown): boolean {
  return LOST.has(codeOf(error))
}

/** PostgreSQL has not answered: whether it has done what was asked is not known. */
export function isAway(error: unknown): boolean {
  if (error instanceof EngineError) return isAway(error.cause)
  const code = codeOf(error)
  if (AWAY.has(code) || code.startsWith('08') || code.startsWith('ECONN')) return true
  return error instanceof Error && AWAY_TEXT.test(error.message)
}

/** And its connection has ended, sooner than any bound. */
export function wasCut(error: unknown): boolean {
  return isAway(error) && !/timeout/i.test((error as Error).message)
}

/** A connection was there, and has not answered. */
export function isSilent(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout'
}

function codeOf(error: unknown): string {
  return String((error as { readonly code?: unknown } | null)?.code ?? '')
}
