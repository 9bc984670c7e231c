/** Spans of time as a user gives them and as a message shows them. */
import { type Duration, defineTask, InvalidInputError } from '../index.js'

/** `duration` in ms, by the rule of the library itself. @throws {InvalidInputError} it is no duration */
export function toMs(duration: Duration, field: string, subject: string): number {
  try {
    // As text: no timeout at all is one that `defineTask` takes.
    return (
      defineTask({ timeout: duration === undefined ? ('undefined' as '0s') : duration, run: () => {} }).timeout ?? 0
    )
  } catch (error) {
    const [issue] = (error as InvalidInputError).issues
    throw new InvalidInputError(subject, [{ message: issue?.message ?? 'must be a duration', path: [field] }])
  }
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const

/** `1h30m`, `2s500ms`, `0ms`. */
export function showSpan(ms: number): string {
  let left = Math.round(ms)
  let text = ''
  for (const [unit, size] of UNITS) {
    const count = Math.floor(left / size)
    if (count > 0) text += `${count}${unit}`
    left -= count * size
  }
  return text || '0ms'
}
