/** Checks of what users hand in: everything that is wrong is collected with its path, and told at once. */
import { durationExpected, tryDuration } from './duration.js'
import { type InputIssue, InvalidInputError, show } from './errors.js'

type Path = readonly (string | number)[]

/** What an object holds, as yet unchecked. */
export type Fields<Field extends string = string> = Readonly<Partial<Record<Field, unknown>>>

export class Checks {
  readonly #subject: string
  readonly #issues: InputIssue[] = []

  /** @param subject what is checked, for the message: `bad submit options` */
  constructor(subject: string) {
    this.#subject = subject
  }

  wrong(path: Path, message: string): void {
    this.#issues.push({ message, path })
  }

  /** `value` where it is what was expected; undefined where it is absent or wrong. */
  that<T>(value: unknown, path: Path, test: (value: unknown) => value is T, expected: string): T | undefined {
    if (value === undefined || test(value)) return value
    this.wrong(path, `${expected}, got ${show(value)}`)
    return undefined
  }

  /** `value` as an object, with no fields but these; empty where it is absent or wrong. */
  object<Field extends string = string>(value: unknown, path: Path, fields?: readonly Field[]): Fields<Field> {
    const object = this.that(value, path, isObject, 'must be an object') ?? {}
    for (const field of Object.keys(object)) {
      if (fields?.includes(field as Field) === false)
        this.wrong([...path, field], `is unknown here; there is ${fields.join(', ')}`)
    }
    return object as Fields<Field>
  }

  /** A duration in ms. */
  span(value: unknown, path: Path): number | undefined {
    const ms = tryDuration(value)
    if (ms === undefined && value !== undefined) this.wrong(path, `${durationExpected}, got ${show(value)}`)
    return ms
  }

  whole(value: unknown, path: Path, least: number, most: number = Number.MAX_SAFE_INTEGER): number | undefined {
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
    const test = (each: unknown): each is number =>
      Number.isInteger(each) && (each as number) >= least && (each as number) <= most
    return this.that(value, path, test, `must be an integer ${range}`)
  }

  flag(value: unknown, path: Path): boolean | undefined {
    return this.that(value, path, (each) => typeof each === 'boolean', 'must be true or false')
  }

  /** A function, of the type that its place wants. */
  callable<T>(value: unknown, path: Path): T | undefined {
    return this.that(value, path, (each): each is T => typeof each === 'function', 'must be a function')
  }

  /** @throws {InvalidInputError} if anything was wrong */
  done(): void {
    if (this.#issues.length > 0) throw new InvalidInputError(this.#subject, this.#issues)
  }
}

/** An object without the fields that are undefined. */
export function defined<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const kept: { [Key in keyof T]?: Exclude<T[Key], undefined> } = {}
  for (const key of Object.keys(fields) as (keyof T)[]) {
    if (fields[key] !== undefined) kept[key] = fields[key] as Exclude<T[keyof T], undefined>
  }
  return kept
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
