/** What a SQLite library complains of, as the typed error that a user sees: the file by name, what is wrong, what to do. */
import { BackgroundRunnerError, EngineError } from '../errors.js'
import { type Problem, problemOf } from './driver.js'

/** The file cannot be used any more, whatever is tried: nothing is read or written until it is opened anew. */
export class UnusableFileError extends EngineError {}

const SAYS: Readonly<Record<Problem, string>> = {
  busy: 'another process holds it for too long; look for a transaction that was left open',
  full: 'the disk is full; free some space',
  readonly: 'it cannot be written; let this user write the file and its folder',
  corrupt:
    'it is damaged, and what stood in it is gone; move it away, with its -wal and -shm, put a backup in its place if there is one, and start again',
  foreign: 'what stands there is no database of ours, and was left as it is; choose another path, or move it away',
  unopenable: 'it cannot be opened; is it a directory, or may this user not read it?',
  io: 'it cannot be read or written; look at the disk and its quota',
  other: 'SQLite refused',
}

/** Nothing but an `EngineError`, or an error of ours as it is. */
export function asEngineError(error: unknown, path: string): BackgroundRunnerError {
  if (error instanceof BackgroundRunnerError) return error
  // The message of a JSON text that cannot be parsed shows some of it.
  if (error instanceof SyntaxError) return new EngineError(`${path}: a task in it cannot be read`)
  const problem = problemOf(error)
  const said = error instanceof Error ? error.message : String(error)
  const Class = problem === 'corrupt' || problem === 'foreign' ? UnusableFileError : EngineError
  return new Class(`${path}: ${SAYS[problem]} (${said})`, { cause: error })
}
