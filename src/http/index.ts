/**
 * `background-runner/http`: a REST API, live events and a dashboard as one function from `Request` to `Response`. It
 * stands on the runner's public API alone, so it works on every engine.
 */
import type { BackgroundRunner, TaskMap } from '../index.js'
import { MissingDependencyError } from '../index.js'
import type { Place, Serve } from './handler.js'
import { fillOptions, type HandlerOptions } from './options.js'
import { problemOf, problemResponse, tellFault } from './problem.js'
import { realTime } from './time.js'

export { type Authorize, accessToken, type Right, type Rights } from './access.js'
export type { HandlerOptions } from './options.js'

/** @param env what an adapter hands over besides: Hono's and `@hono/node-server`'s tell in it which path was asked for */
export type Handler = (request: Request, env?: unknown) => Promise<Response>

/**
 * Makes the routes over a runner: `app.mount('/tasks', handler)` in Hono, `app.use('/tasks', getRequestListener(handler))`
 * in Express, an exported route in Next.js.
 *
 * @throws {InvalidInputError} naming each option that is wrong
 */
export function createHandler<const Tasks extends TaskMap>(
  runner: BackgroundRunner<Tasks>,
  options: HandlerOptions<keyof Tasks & string> = {},
): Handler {
  const filled = fillOptions(options)
  // Names come from requests: what is typed by them is checked by the runner.
  const base = runner as unknown as BackgroundRunner
  // What it needs is loaded on demand: whoever has not installed it is told so.
  let serve: Serve | undefined
  const loading = load(base, filled)
  loading.then(
    (loaded) => {
      serve = loaded
    },
    (error) => tellFault(base, error),
  )
  return async (request, env) => {
    try {
      serve ??= await loading
      return await serve(request, placeOf(request, env, filled.basePath))
    } catch (error) {
      const problem = problemOf(error)
      if (problem === undefined) throw error
      return problemResponse(problem)
    }
  }
}

async function load(runner: BackgroundRunner, options: ReturnType<typeof fillOptions>): Promise<Serve> {
  let serving: typeof import('./handler.js').serving
  try {
    ;({ serving } = await import('./handler.js'))
  } catch (cause) {
    const { code = '', message = '' } = cause as { code?: string; message?: string }
    const missing = /MODULE_NOT_FOUND$/.test(code) ? /'(hono|zod)\b/.exec(message)?.[1] : undefined
    throw missing === undefined ? cause : new MissingDependencyError(missing, 'createHandler', { cause })
  }
  return serving(runner, options, realTime)
}

/**
 * Where in the routes a request leads. A framework may have taken the path that they are mounted at off; what the client
 * asked for is then told by the adapter beside the request. Where nobody tells it, a path that does not begin with the
 * base is taken for one that has been cut.
 *
 * @returns undefined: it is not ours
 */
function placeOf(request: Request, env: unknown, basePath: string): Place | undefined {
  const url = new URL(request.url)
  const seen = url.pathname
  const asked = askedFor(env)
  const isMounted = asked !== undefined && asked !== seen && (seen === '/' || asked.endsWith(seen))
  const isOurs = isBelow(seen, basePath)
  if (!isOurs && !isMounted && asked !== undefined) return undefined
  const below = isOurs && !isMounted ? seen.slice(basePath.length) : seen
  const whole = isMounted ? asked : seen
  const path = below === '/' && !whole.endsWith('/') ? '' : below
  return { url, path, last: whole.slice(whole.lastIndexOf('/') + 1) }
}

function isBelow(path: string, base: string): boolean {
  return path === base || path.startsWith(`${base}/`)
}

/** The path of the request as it came to Node, before any framework has changed it. */
function askedFor(env: unknown): string | undefined {
  const { incoming } = (env ?? {}) as { incoming?: { url?: unknown; originalUrl?: unknown } }
  const url = incoming?.originalUrl ?? incoming?.url
  // A proxy may be asked for a whole address (RFC 9112, 3.2.2).
  const path = typeof url === 'string' ? url.replace(/^https?:\/\/[^/?]*/i, '') : ''
  return path.startsWith('/') ? cut(path) : undefined
}

function cut(url: string): string {
  const end = url.indexOf('?')
  return end < 0 ? url : url.slice(0, end)
}
