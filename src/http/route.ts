/**
 * What a route is: one entry of the table that requests are dispatched by, and that the OpenAPI document is made from.
 */
import type { z } from 'zod'
import type { BackgroundRunner } from '../index.js'
import type { Right } from './access.js'
import type { FilledOptions } from './options.js'
import { Problem } from './problem.js'
import type { Redact } from './redact.js'

/** What the routes stand on. */
export interface Site {
  readonly runner: BackgroundRunner
  readonly options: FilledOptions
  readonly redact: Redact
}

/** One request, checked. */
export interface Call<Query = unknown, Body = unknown> {
  readonly site: Site
  readonly request: Request
  readonly rights: ReadonlySet<Right>
  readonly params: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: Body
}

export interface Answer {
  readonly description: string
  /** JSON unless `type` says otherwise. */
  readonly schema?: z.ZodType
  readonly type?: string
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Hono's way to write it: `/tasks/:id`. */
  readonly path: string
  readonly right: Right
  readonly summary: string
  readonly query?: z.ZodObject
  /** JSON. */
  readonly body?: z.ZodType
  readonly headers?: Readonly<Record<string, string>>
  readonly answers: Readonly<Record<number, Answer>>
  readonly run: (call: Call) => Response | Promise<Response>
}

/** A route, its query and body typed by their schemas. */
export function route<Query extends z.ZodObject, Body extends z.ZodType>(
  given: Omit<Route, 'query' | 'body' | 'run'> & {
    readonly query?: Query
    readonly body?: Body
    readonly run: (call: Call<z.output<Query>, z.output<Body>>) => Response | Promise<Response>
  },
): Route {
  // A table holds routes of all kinds; what `run` gets has been through this one's own schemas.
  return given as unknown as Route
}

/** Of what comes in. */
const MOST_QUERY = 8_192
const MOST_BODY = 1_048_576

/** The query as an object: what is repeated is an array; whether it may be is the schema's to say. @throws {Problem} */
export function readQuery(route: Route, url: URL): unknown {
  if (url.search === '') return withoutQuery(route)
  if (url.search.length > MOST_QUERY)
    throw new Problem(414, 'URI_TOO_LONG', `A query has at most ${MOST_QUERY} characters.`)
  const given: Record<string, string | string[]> = Object.create(null)
  const lists = listsOf(route)
  for (const [name, value] of url.searchParams) {
    const before = given[name]
    if (before !== undefined) given[name] = [before, value].flat()
    else given[name] = lists.has(name) ? [value] : value
  }
  return route.query === undefined ? given : parse(route.query, given, 400, 'query')
}

const empties = new WeakMap<Route, unknown>()

/** The defaults, which are the same for each request. */
function withoutQuery(route: Route): unknown {
  if (route.query === undefined) return NONE
  let known = empties.get(route)
  if (known === undefined) {
    known = Object.freeze(parse(route.query, {}, 400, 'query'))
    empties.set(route, known)
  }
  return known
}

const NONE = Object.freeze({})
const lists = new WeakMap<Route, ReadonlySet<string>>()

/** The parameters that are lists, also where there is one value. */
function listsOf(route: Route): ReadonlySet<string> {
  let known = lists.get(route)
  if (known === undefined) {
    const isList = (schema: unknown): boolean => {
      const {
        type,
        innerType,
        in: first,
      } = (schema as { def: { type: string; innerType?: unknown; in?: unknown } }).def
      const inner = innerType ?? first
      return type === 'array' || (inner !== undefined && isList(inner))
    }
    known = new Set(Object.entries(route.query?.shape ?? {}).flatMap(([name, each]) => (isList(each) ? [name] : [])))
    lists.set(route, known)
  }
  return known
}

/** The body: JSON of a bounded size, as the schema wants it. @throws {Problem} */
export async function readBody(schema: z.ZodType, request: Request): Promise<unknown> {
  const text = await readText(request)
  if (text === '') return parse(schema, undefined, 400, 'body')
  const type = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
  if (type === undefined || !/^application\/(?:[\w.+-]+\+)?json$/.test(type))
    throw new Problem(415, 'UNSUPPORTED_MEDIA_TYPE', 'The body has to be application/json.')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Problem(400, 'BAD_JSON', 'The body is no JSON.')
  }
  return parse(schema, value, 400, 'body')
}

/** What is too large is read on for a while, so that the sender gets to hear of it. */
const MOST_READ = 4 * MOST_BODY

async function readText(request: Request): Promise<string> {
  if (request.bodyUsed) throw gone()
  const text = await readAll(request)
  // Nothing is left of what was sent: it must not pass for no input at all.
  if (text === '' && isAnnounced(request.headers)) throw gone()
  return text
}

function isAnnounced(headers: Headers): boolean {
  return Number(headers.get('content-length')) > 0 || headers.has('transfer-encoding')
}

function gone(): Problem {
  return new Problem(
    400,
    'BODY_GONE',
    'The body had been read before it came here: mount these routes before what parses bodies, such as express.json().',
  )
}

async function readAll({ body }: Request): Promise<string> {
  if (body === null) return ''
  const reader = body.getReader()
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let text = ''
  let size = 0
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done && size <= MOST_BODY) return text + decoder.decode()
      size += value?.byteLength ?? 0
      if (size <= MOST_BODY) text += decoder.decode(value, { stream: true })
      else if (done || size > MOST_READ) break
    }
  } catch {
    throw new Problem(400, 'BAD_BODY', 'The body broke off, or is no UTF-8.')
  }
  void reader.cancel().catch(() => {})
  throw new Problem(413, 'CONTENT_TOO_LARGE', `A body has at most ${MOST_BODY} bytes.`)
}

function parse(schema: z.ZodType, value: unknown, status: number, place: string): unknown {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issues = result.error.issues.map((issue) => ({
    message: issue.message,
    path: issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step)),
  }))
  const told = issues
    .slice(0, 5)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
  throw new Problem(status, 'INVALID_REQUEST', `The ${place} is not as it must be: ${told.join('; ')}`, { issues })
}
