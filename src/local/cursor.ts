/** A cursor of `list`, opaque to users: the submission order of the last task of its page. */
import { InvalidInputError, show } from '../errors.js'

export function toCursor(order: number): string {
  return Buffer.from(`m${order}`).toString('base64url')
}

/** @throws {InvalidInputError} it was not made by `toCursor` */
export function fromCursor(cursor: string): number {
  const text = Buffer.from(cursor, 'base64url').toString()
  if (/^m\d{1,15}$/.test(text)) return Number(text.slice(1))
  throw new InvalidInputError('bad list query', [
    { path: ['cursor'], message: `is not a cursor of this list: ${show(cursor)}` },
  ])
}
