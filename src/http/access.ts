/**
 * Who may do what. Closed until the app says otherwise: without `authorize` nobody may do anything; and what changes
 * something has to come from the pages' own origin, or bear a token that no browser sends by itself.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { InvalidInputError } from '../index.js'
import { Problem } from './problem.js'

/** `read`: see everything. `submit`: the names in `submit`. `manage`: cancel, retry, remove, pause, schedule. */
export type Right = 'read' | 'submit' | 'manage'

export type Rights = readonly Right[] | undefined | null | false

export interface Authorize {
  (request: Request): Rights | Promise<Rights>
  /** What a caller without any right is asked for: the value of WWW-Authenticate (RFC 9110, 11.6.1). */
  readonly challenge?: string
}

const ALL: readonly Right[] = ['read', 'submit', 'manage']

/**
 * An `authorize` for whoever has the token: `Authorization: Bearer <token>`; a browser asks for it as the password, with
 * any user name. Compared in constant time.
 *
 * @throws {InvalidInputError} the token is no text, or empty: an unset variable opens nothing
 */
export function accessToken(token: string, rights: readonly Right[] = ALL): Authorize {
  if (typeof token !== 'string' || token === '')
    throw new InvalidInputError('bad access token', [{ message: `must be a text, got ${typeof token}`, path: [] }])
  const wanted = digest(token)
  const authorize = (request: Request): Rights => {
    const given = tokenOf(request.headers.get('authorization'))
    return given !== undefined && timingSafeEqual(digest(given), wanted) ? rights : undefined
  }
  return Object.assign(authorize, { challenge: 'Basic realm="tasks", charset="UTF-8"' })
}

/** Of one length, whatever the token's. */
function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}

function tokenOf(header: string | null): string | undefined {
  const [, scheme = '', value = ''] = /^(\S+) +(.*)$/.exec(header ?? '') ?? []
  if (/^bearer$/i.test(scheme)) return value
  if (!/^basic$/i.test(scheme)) return undefined
  const pair = Buffer.from(value, 'base64').toString()
  const colon = pair.indexOf(':')
  return colon < 0 ? undefined : pair.slice(colon + 1)
}

/** @throws {Problem} 403 or 401: nothing is allowed */
export function rightsOf(
  authorize: Authorize | undefined,
  request: Request,
  failed: (error: unknown) => void,
): ReadonlySet<Right> | Promise<ReadonlySet<Right>> {
  if (authorize === undefined)
    throw new Problem(
      403,
      'CLOSED',
      'Nothing is open: give createHandler an `authorize(request)` that returns what the caller may do.',
    )
  const broken = (error: unknown): never => {
    failed(error)
    throw new Problem(403, 'FORBIDDEN', 'Who calls could not be found out.')
  }
  let rights: Rights | Promise<Rights>
  try {
    rights = authorize(request)
  } catch (error) {
    return broken(error)
  }
  if (!isThenable(rights)) return granted(rights, authorize)
  return Promise.resolve(rights).then((given) => granted(given, authorize), broken)
}

/** A promise of any realm or library: under Jest, or in a vm context, `instanceof Promise` knows only some. */
function isThenable(value: unknown): value is PromiseLike<Rights> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

function granted(rights: Rights, { challenge }: Authorize): ReadonlySet<Right> {
  const known = new Set(Array.isArray(rights) ? rights.filter((right) => ALL.includes(right)) : [])
  if (known.size > 0) return known
  throw challenge === undefined
    ? new Problem(403, 'FORBIDDEN', 'You may do nothing here.')
    : new Problem(401, 'UNAUTHORIZED', 'A token is needed.', { headers: { 'WWW-Authenticate': challenge } })
}

/** What a browser may send along by itself, from any page. */
const AMBIENT = /^(?:basic|digest|negotiate|ntlm)\b/i

/**
 * Whether a request that changes something comes from the pages' own origin, or bears a token: judged by headers that a
 * page cannot forge (Fetch Metadata; RFC 6454), before anything else of the request is looked at.
 *
 * @throws {Problem} 403
 */
export function assertSameOrigin(request: Request): void {
  const { headers } = request
  const authorization = headers.get('authorization')
  // A page of another origin cannot send it without asking first (CORS), and nobody here says yes.
  if (authorization !== null && !AMBIENT.test(authorization.trimStart())) return
  const site = headers.get('sec-fetch-site')
  const origin = headers.get('origin')
  if (site !== null) {
    if (site === 'same-origin') return
  } else if (origin !== null) {
    if (hostOf(origin) === new URL(request.url).host) return
  } else if (authorization !== null) return // no browser: each sends Origin with what changes something
  throw new Problem(
    403,
    'CROSS_SITE',
    'A change has to come from the same origin (Sec-Fetch-Site, Origin), or bear a token (Authorization: Bearer).',
  )
}

function hostOf(origin: string): string | undefined {
  try {
    return new URL(origin).host
  } catch {
    return undefined // 'null', and whatever else is no origin
  }
}
