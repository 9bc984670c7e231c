/**
 * One request as a pipeline: who calls → which route → may they → does it come from here → is it as it must be → answer.
 * Whatever is thrown on the way becomes a problem (RFC 9457).
 */
import { Hono } from 'hono'
import type { BackgroundRunner, Clock } from '../index.js'
import { assertSameOrigin, type Right, rightsOf } from './access.js'
import { json, respond } from './answer.js'
import { Live } from './live.js'
import { openApi } from './openapi.js'
import type { FilledOptions } from './options.js'
import { INTERNAL, Problem, problemOf, problemResponse, tellFault } from './problem.js'
import { Pausing, queueRoutes } from './queue.js'
import { redactor } from './redact.js'
import { type Route, readBody, readQuery, route, type Site } from './route.js'
import { scheduleRoutes } from './scheduled.js'
import { Statistics } from './statistics.js'
import { taskRoutes } from './tasks.js'

/** Where a request leads: its path below the routes' base, and what of it a browser has last. */
export interface Place {
  readonly url: URL
  /** '/…'; '' where the base was asked for without a slash at its end. */
  readonly path: string
  readonly last: string
}

/** @param place undefined: nowhere */
export type Serve = (request: Request, place: Place | undefined) => Promise<Response>

const NOWHERE = new Problem(404, 'NOT_FOUND', 'There is no such route.')

const METHODS = ['GET', 'POST', 'PUT', 'DELETE'] as const

interface Bindings {
  readonly rights: ReadonlySet<Right>
  readonly url: URL
  readonly path: string
}

/** @throws {RunnerClosedError} */
export function serving(runner: BackgroundRunner, options: FilledOptions, clock: Clock): Serve {
  const site: Site = { runner, options, redact: redactor(options.redact) }
  const live = new Live(runner, site.redact, clock)
  const statistics = new Statistics(runner, clock)
  const routes: Route[] = [...taskRoutes, ...queueRoutes(live, statistics, new Pausing(clock)), ...scheduleRoutes]
  routes.push(
    route({
      method: 'GET',
      path: '/openapi.json',
      right: 'read',
      summary: 'This document.',
      answers: { 200: { description: 'OpenAPI 3.1.' } },
      run: () => {
        document ??= openApi(routes)
        return json(document)
      },
    }),
  )
  let document: unknown
  if (options.dashboard) routes.push(...pageRoutes)

  // As it was sent: what is encoded in an id is no part of the path.
  const app = new Hono<{ Bindings: Bindings }>({
    getPath: (_, context) => (context as { readonly env: Bindings }).env.path,
  })
  for (const each of routes) {
    app.on(each.method, each.path, async ({ req, env: { rights, url } }) => {
      const request = req.raw
      if (!rights.has(each.right)) throw new Problem(403, 'FORBIDDEN', `That needs the right '${each.right}'.`)
      if (each.method !== 'GET') assertSameOrigin(request)
      const query = readQuery(each, url)
      const body = each.body === undefined ? undefined : await readBody(each.body, request)
      return each.run({ site, request, rights, params: req.param(), query, body })
    })
  }
  app.notFound(({ req }) => {
    const allowed = METHODS.filter((method) => app.router.match(method, req.path)[0].length > 0)
    if (allowed.length === 0) throw NOWHERE
    const Allow = allowed.join(', ')
    throw new Problem(405, 'METHOD_NOT_ALLOWED', `There is ${Allow} here.`, { headers: { Allow } })
  })
  const failed = (error: unknown): void => tellFault(runner, error)
  const failure = (error: unknown): Response => {
    const problem = problemOf(error)
    if (problem === undefined) failed(error)
    return problemResponse(problem ?? INTERNAL)
  }
  app.onError(failure)

  return async (request, place) => {
    try {
      let rights = rightsOf(options.authorize, request, failed)
      if (rights instanceof Promise) rights = await rights
      if (place === undefined) throw NOWHERE
      const { url, path, last } = place
      // The page's own references are relative to its folder.
      if (path === '' && options.dashboard && rights.has('read')) return redirect(`./${last}/${url.search}`)
      return await app.fetch(request, { rights, url, path: path === '' ? '/' : path })
    } catch (error) {
      return failure(error)
    }
  }
}

/** The page, and what it consists of. */
const pageRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/',
    right: 'read',
    summary: 'The dashboard.',
    answers: { 200: { description: 'The page.', type: 'text/html' } },
    run: async () => (await import('./page.js')).pageResponse(),
  }),
  route({
    method: 'GET',
    path: '/assets/:file',
    right: 'read',
    summary: 'A file of the dashboard.',
    answers: { 200: { description: 'The file.' } },
    run: async ({ params: { file } }) => (await import('./page.js')).assetResponse(file as string),
  }),
]

function redirect(location: string): Response {
  return respond(null, 302, { Location: location, 'Cache-Control': 'no-store' })
}
