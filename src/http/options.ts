/** What `createHandler` is given: every option, its default, and what is refused. */
import { type InputIssue, InvalidInputError } from '../index.js'
import type { Authorize } from './access.js'
import { DEFAULT_REDACT } from './redact.js'

export interface HandlerOptions<Name extends string = string> {
  /**
   * What the caller may do; nothing where it is a stranger. Without it every route answers 403.
   *
   * @example authorize: async (request) => ((await isAdmin(request)) ? ['read', 'submit', 'manage'] : [])
   */
  readonly authorize?: Authorize
  /**
   * What the paths of the requests begin with, where the framework does not take it off: `/admin/tasks`. With Hono's
   * `app.mount` and Express's `app.use` nothing is needed.
   *
   * @default ''
   */
  readonly basePath?: string
  /** The names that may be submitted over HTTP. @default none */
  readonly submit?: readonly Name[]
  /**
   * Properties whose values are shown to nobody, in records, events and pages: `'*.password'` at any depth,
   * `'input.card.number'` from the record on; a `*` between dots is any one step. Case, `-` and `_` do not matter. It takes
   * the place of the default list.
   *
   * @default what names a password, a secret, a token, a key, a cookie, a card: see `DEFAULT_REDACT` in the source
   */
  readonly redact?: readonly string[]
  /** False: only the API. @default true */
  readonly dashboard?: boolean
}

export interface FilledOptions {
  readonly authorize: Authorize | undefined
  /** '' or '/…', without a slash at its end. */
  readonly basePath: string
  readonly submit: ReadonlySet<string>
  readonly redact: readonly string[]
  readonly dashboard: boolean
}

/** @throws {InvalidInputError} naming each option that is wrong */
export function fillOptions(options: HandlerOptions): FilledOptions {
  const issues: InputIssue[] = []
  const expect = (fits: boolean, name: string, expected: string, value: unknown): void => {
    if (!fits) issues.push({ message: `must be ${expected}, got ${kindOf(value)}`, path: [name] })
  }
  if (typeof options !== 'object' || options === null)
    throw new InvalidInputError('bad handler options', [
      { message: `must be an object, got ${kindOf(options)}`, path: [] },
    ])
  const { authorize, basePath = '', submit = [], redact = DEFAULT_REDACT, dashboard = true } = options
  expect(authorize === undefined || typeof authorize === 'function', 'authorize', 'a function', authorize)
  expect(
    typeof basePath === 'string' && /^(\/[^?#\s]*)?$/.test(basePath),
    'basePath',
    "'' or a path such as '/tasks'",
    basePath,
  )
  expect(isTexts(submit), 'submit', 'an array of task names', submit)
  expect(isTexts(redact) && redact.every(isPattern), 'redact', "an array of patterns such as '*.password'", redact)
  expect(typeof dashboard === 'boolean', 'dashboard', 'a boolean', dashboard)
  for (const name of Object.keys(options)) {
    if (!KNOWN.has(name)) issues.push({ message: `is no option; there are ${[...KNOWN].join(', ')}`, path: [name] })
  }
  if (issues.length > 0) throw new InvalidInputError('bad handler options', issues)
  // As a browser sends it.
  const { pathname } = new URL(`http://localhost${basePath}`)
  return { authorize, basePath: pathname.replace(/\/+$/, ''), submit: new Set(submit), redact, dashboard }
}

const KNOWN: ReadonlySet<string> = new Set(['authorize', 'basePath', 'submit', 'redact', 'dashboard'])

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

function isPattern(pattern: string): boolean {
  return pattern !== '' && pattern.split('.').every((step) => step !== '') && !pattern.endsWith('*')
}

function kindOf(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 80))
  if (value === null || value === undefined) return String(value)
  return Array.isArray(value) ? `an array of ${value.length}` : `a value of type ${typeof value}`
}
