/**
 * Assertions on the tasks of a test runner. They answer at once, and throw an `AssertionError` that shows what there was
 * and where it differs.
 */
import { type InputOf, type OutputOf, type TaskMap, type TaskRecord, UnknownTaskError } from '../index.js'
import { failure, listMismatches, type Matcher, matches, show } from './match.js'

/** The record of a task, its input and output typed by its definition. */
export type RecordOf<Tasks extends TaskMap, Name extends keyof Tasks & string> = Omit<
  TaskRecord,
  'name' | 'input' | 'output'
> & { readonly name: Name; readonly input: InputOf<Tasks[Name]>; readonly output?: OutputOf<Tasks[Name]> }

/** A part of the input of a task, deeply; see `Matcher`. */
type InputMatcher<Tasks extends TaskMap, Name extends keyof Tasks & string> = Matcher<InputOf<Tasks[Name]>>

/** What a test can say of the tasks of a runner. A matcher is a part of a task's input; see `Matcher`. */
export interface Assertions<Tasks extends TaskMap> {
  /** What was submitted, in order, each as it is now; what was deduplicated is there once. @throws {UnknownTaskError} */
  submitted(): readonly TaskRecord[]
  submitted<Name extends keyof Tasks & string>(name: Name): readonly RecordOf<Tasks, Name>[]
  /**
   * Some task of this name was submitted whose input matches; `count`: exactly so many. Gives those that match.
   *
   * @throws {AssertionError} {UnknownTaskError}
   */
  assertSubmitted<Name extends keyof Tasks & string>(
    name: Name,
    matcher?: InputMatcher<Tasks, Name>,
    options?: { readonly count?: number },
  ): readonly RecordOf<Tasks, Name>[]
  /** No task of this name was submitted whose input matches. @throws {AssertionError} {UnknownTaskError} */
  refuteSubmitted<Name extends keyof Tasks & string>(name: Name, matcher?: InputMatcher<Tasks, Name>): void
  /** Some task of this name has succeeded whose input matches. Gives those. @throws {AssertionError} {UnknownTaskError} */
  assertSucceeded<Name extends keyof Tasks & string>(
    name: Name,
    matcher?: InputMatcher<Tasks, Name>,
  ): readonly RecordOf<Tasks, Name>[]
  /**
   * Some task of this name has failed for good whose input matches; `code`: with an error of this code. Gives those.
   *
   * @throws {AssertionError} {UnknownTaskError}
   */
  assertFailed<Name extends keyof Tasks & string>(
    name: Name,
    matcher?: InputMatcher<Tasks, Name>,
    options?: { readonly code?: string },
  ): readonly RecordOf<Tasks, Name>[]
}

/** Where the records come from. */
interface Source {
  readonly submitted: readonly TaskRecord[]
}

type Verb = (name: string, matcher?: unknown, options?: Readonly<Record<string, unknown>>) => TaskRecord[]

export function createAssertions<Tasks extends TaskMap>(source: Source, names: readonly string[]): Assertions<Tasks> {
  const submitted = (name?: string): TaskRecord[] => {
    if (name !== undefined && !names.includes(name)) throw new UnknownTaskError(name, names)
    return source.submitted.filter((each) => name === undefined || each.name === name)
  }
  const known = (name: string): TaskRecord[] => {
    if (typeof name !== 'string') throw new UnknownTaskError(name, names)
    return submitted(name)
  }

  const assertSubmitted: Verb = (name, matcher, { count } = {}) => {
    const all = known(name)
    const found = all.filter(fits(matcher))
    if (count === undefined ? found.length > 0 : found.length === count) return found
    const wanted = count === undefined ? `a task '${name}'` : `${count} ${count === 1 ? 'task' : 'tasks'} '${name}'`
    const got =
      count === undefined || matcher === undefined ? '' : `, and ${found.length} ${found.length === 1 ? 'does' : 'do'}`
    throw failure(`expected ${wanted}${whose(matcher)}${got}; ${tell(all, matcher)}`, {
      actual: all.map(({ input }) => input),
      expected: [matcher ?? name], // in an array, as there may be many: for the diff of a test framework
      caller: assertSubmitted,
    })
  }

  const refuteSubmitted: Verb = (name, matcher) => {
    const found = known(name).filter(fits(matcher))
    if (found.length === 0) return found
    const there = found.length === 1 ? 'there is 1' : `there are ${found.length}`
    throw failure(`expected no task '${name}'${whose(matcher)}; ${there}:${list(found, matcher)}`, {
      actual: found.map(({ input }) => input),
      expected: [],
      caller: refuteSubmitted,
    })
  }

  const assertSucceeded: Verb = (name, matcher) => {
    const all = known(name)
    const found = all.filter(fits(matcher)).filter(({ state }) => state === 'succeeded')
    if (found.length > 0) return found
    throw failure(`expected a task '${name}'${whose(matcher)} to have succeeded; ${tell(all, matcher)}`, {
      actual: all.map(({ state }) => state),
      expected: 'succeeded',
      caller: assertSucceeded,
    })
  }

  const assertFailed: Verb = (name, matcher, { code } = {}) => {
    const all = known(name)
    const failed = all.filter(fits(matcher)).filter(({ state }) => state === 'failed')
    const found = failed.filter(({ error }) => code === undefined || error?.code === code)
    if (found.length > 0) return found
    const how = code === undefined ? '' : ` with the code '${code}'`
    throw failure(`expected a task '${name}'${whose(matcher)} to have failed${how}; ${tell(all, matcher)}`, {
      actual: all.map(({ state, error }) => (state === 'failed' ? error?.code : state)),
      expected: code ?? 'failed',
      caller: assertFailed,
    })
  }

  return { submitted, assertSubmitted, refuteSubmitted, assertSucceeded, assertFailed } as unknown as Assertions<Tasks>
}

const fits =
  (matcher: unknown) =>
  ({ input }: TaskRecord): boolean =>
    matcher === undefined || matches(input, matcher)

function whose(matcher: unknown): string {
  return matcher === undefined ? '' : ` whose input matches ${show(matcher)}`
}

function tell(records: readonly TaskRecord[], matcher: unknown): string {
  if (records.length === 0) return 'none was submitted'
  return `${records.length} ${records.length === 1 ? 'was' : 'were'} submitted:${list(records, matcher)}`
}

/** Each with how it is doing, its input, and where that differs. */
function list(records: readonly TaskRecord[], matcher: unknown): string {
  const inputs = records.map(({ input }) => input)
  return listMismatches(inputs, matcher, (i) => describe(records[i] as TaskRecord))
}

/** `failed, attempt 3 (ECONNREFUSED: connection refused): ` */
function describe({ state, attempt, error }: TaskRecord): string {
  const after = attempt === 0 ? '' : `, attempt ${attempt}`
  const why = error === undefined ? '' : ` (${[error.code, error.message].filter(Boolean).join(': ')})`
  return `${state}${after}${why}: `
}
