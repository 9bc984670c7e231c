/** The routes of single tasks, and of lists of them. */
import { hash } from 'node:crypto'
import { z } from 'zod'
import { TaskNotFoundError, type TaskRecord, UnknownTaskError } from '../index.js'
import { empty, JSON_HEADERS, json } from './answer.js'
import { previewOf } from './preview.js'
import { type Answer, type Call, type Route, route, type Site } from './route.js'
import { duration, durationText, explanation, problem, record, state, summary } from './schemas.js'
import { explanationOf, recordOf, summaryOf, unquoted } from './view.js'

const RECORD: Answer = { description: 'The record.', schema: record }
const UNKNOWN: Answer = { description: 'There is no such task.', schema: problem }
const WRONG_STATE: Answer = { description: 'The state of the task forbids it.', schema: problem }

const texts = z.array(z.string()).optional()

/** How long a request waits for the end of a task at most, ms: proxies cut what is silent for longer. */
const LONGEST_WAIT = 60_000

export const taskRoutes: readonly Route[] = [
  route({
    method: 'GET',
    path: '/tasks',
    right: 'read',
    summary: 'Tasks, newest first, page by page.',
    query: z.strictObject({
      states: z
        .array(z.string())
        .transform((all) => all.flatMap((each) => each.split(',')))
        .pipe(z.array(state))
        .optional(),
      names: texts,
      tags: texts.describe('those that have all of them'),
      limit: z.coerce.number().int().min(1).max(1_000).default(50),
      cursor: z.string().optional().describe('`next` of the page before'),
      view: z.enum(['full', 'summary']).default('full').describe('summary: without input, output, metadata, attempts'),
    }),
    answers: {
      200: {
        description: 'A page; without `next` it is the last one.',
        schema: z.object({ tasks: z.array(z.union([record, summary])), next: z.string().optional() }),
      },
    },
    run: async ({ site: { runner, redact }, query: { view, ...options } }) => {
      const { tasks, next } = await runner.list(defined(options))
      const shown = tasks.map((task) => (view === 'summary' ? summaryOf(task, redact) : recordOf(task, redact)))
      return json({ tasks: shown, next })
    },
  }),
  route({
    method: 'POST',
    path: '/tasks/:name',
    right: 'submit',
    summary: 'Submits a task; the body is its input. Only for names that the app has opened.',
    query: z.strictObject({
      priority: z.coerce.number().optional().describe('higher first'),
      delay: durationText.optional(),
    }),
    headers: { 'Idempotency-Key': 'The same key is the same task: a repeated request submits nothing.' },
    body: z.unknown().describe('the input'),
    answers: {
      202: {
        description: 'It is kept, and will run. `Location` is its record.',
        schema: z.object({ id: z.string(), deduplicated: z.boolean() }),
      },
      404: { description: 'No task of this name may be submitted here.', schema: problem },
      422: { description: 'The input is not as the task wants it.', schema: problem },
      503: { description: 'Too many tasks wait; `Retry-After` says when to come again.', schema: problem },
    },
    run: submit,
  }),
  route({
    method: 'GET',
    path: '/tasks/:id',
    right: 'read',
    summary: 'The record of a task.',
    query: z.strictObject({
      wait: durationText.optional().describe('answers when the task has ended, or after so long: at most 60 s'),
    }),
    headers: { 'If-None-Match': 'The ETag of the record that is known.' },
    answers: { 200: RECORD, 304: { description: 'It is as it was.' }, 404: UNKNOWN },
    run: async ({ site, request, params, query: { wait } }) =>
      recordAnswer(
        site,
        wait === undefined
          ? await known(site, params['id'])
          : await waited(site, params['id'] as string, wait, request.signal),
        request,
      ),
  }),
  route({
    method: 'DELETE',
    path: '/tasks/:id',
    right: 'manage',
    summary: 'Removes a task that has ended.',
    answers: { 204: { description: 'It is gone.' }, 404: UNKNOWN, 409: WRONG_STATE },
    run: async ({ site: { runner }, params: { id } }) => {
      if (!(await runner.remove(id as string))) throw new TaskNotFoundError(id)
      return empty()
    },
  }),
  route({
    method: 'POST',
    path: '/tasks/:id/cancel',
    right: 'manage',
    summary: 'Ends a waiting task, or asks a running one to stop.',
    body: z.strictObject({ reason: z.string().optional(), force: z.boolean().optional() }).optional(),
    answers: { 200: RECORD, 404: UNKNOWN, 409: WRONG_STATE },
    run: async ({ site, params, body = {} }) =>
      recordAnswer(site, await site.runner.cancel(params['id'] as string, defined(body))),
  }),
  route({
    method: 'POST',
    path: '/tasks/:id/retry',
    right: 'manage',
    summary: 'Gives a failed or cancelled task a new budget of attempts.',
    body: z.strictObject({ delay: duration.optional() }).optional(),
    answers: { 200: RECORD, 404: UNKNOWN, 409: WRONG_STATE },
    run: async ({ site, params, body = {} }) =>
      recordAnswer(site, await site.runner.retry(params['id'] as string, defined(body) as { delay?: number })),
  }),
  route({
    method: 'POST',
    path: '/tasks/:id/priority',
    right: 'manage',
    summary: 'Changes the priority of a task that waits.',
    body: z.strictObject({ priority: z.number() }),
    answers: { 200: RECORD, 404: UNKNOWN, 409: WRONG_STATE },
    run: async ({ site, params, body: { priority } }) =>
      recordAnswer(site, await site.runner.setPriority(params['id'] as string, priority)),
  }),
  route({
    method: 'GET',
    path: '/tasks/:id/explain',
    right: 'read',
    summary: 'Why a task does not run now.',
    answers: {
      200: { description: 'All that keeps it, the most telling first.', schema: explanation },
      404: UNKNOWN,
      501: { description: 'The engine cannot tell.', schema: problem },
    },
    run: async ({ site: { runner, redact }, params: { id } }) => {
      const explanation = await runner.explain(id as string)
      const isKeyed = explanation.reasons.some((reason) => 'key' in reason)
      return json(explanationOf(explanation, isKeyed ? await runner.status(id as string) : undefined, redact))
    },
  }),
  route({
    method: 'GET',
    path: '/tasks/:id/preview',
    right: 'read',
    summary: 'The HTML of a mail as a page for a sandboxed frame: no script runs there, and nothing is fetched.',
    answers: { 200: { description: 'The page.', type: 'text/html' }, 404: UNKNOWN },
    run: async ({ site, params: { id } }) => previewOf(site.redact(await known(site, id))),
  }),
]

async function submit({
  site: { runner, options, redact },
  request,
  params: { name = '' },
  query,
  body,
}: Call<{ priority?: number | undefined; delay?: number | string | undefined }>): Promise<Response> {
  // Not which names there are: whoever may submit some need not know the others.
  if (!options.submit.has(name)) throw new UnknownTaskError(name, [...options.submit])
  const key = keyOf(request.headers.get('idempotency-key'))
  const submitted = runner.submit(name, body, {
    ...(defined(query) as { priority?: number; delay?: number }),
    ...(key !== undefined && { key }),
  })
  const handle = await unquoted(submitted, { input: body }, redact)
  // Relative (RFC 9110, 10.2.2): it holds wherever the app or a proxy has put the routes.
  const location = `../tasks/${encodeURIComponent(handle.id)}`
  return json({ id: handle.id, deduplicated: handle.deduplicated }, 202, { Location: location })
}

/** The key, which may be written as a string of a structured field (draft-ietf-httpapi-idempotency-key-header): in quotes. */
function keyOf(header: string | null): string | undefined {
  if (header === null || header === '') return undefined
  const [, quoted] = /^"((?:[^"\\]|\\["\\])*)"$/.exec(header) ?? []
  return quoted === undefined ? header : quoted.replace(/\\(.)/g, '$1')
}

async function known({ runner }: Site, id: string | undefined): Promise<TaskRecord> {
  const task = await runner.status(id as string)
  if (task === undefined) throw new TaskNotFoundError(id)
  return task
}

/** The record when the task has ended, or as it is after so long. */
async function waited(site: Site, id: string, wait: number | string, signal: AbortSignal): Promise<TaskRecord> {
  try {
    return await site.runner.wait(id, { timeout: bounded(wait), signal })
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'WAIT_TIMEOUT' && !signal.aborted) throw error
    return known(site, id)
  }
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function bounded(wait: number | string): number {
  if (typeof wait === 'number') return Math.min(wait, LONGEST_WAIT)
  const [, count, unit = 'ms'] = /^(\d+)(\D+)$/.exec(wait) ?? []
  return Math.min(Number(count) * (UNITS[unit] as number), LONGEST_WAIT)
}

/** A record, with a validator of its bytes (RFC 9110, 8.8.3); 304 for whoever knows it. */
function recordAnswer({ redact }: Site, task: TaskRecord, request?: Request): Response {
  const text = JSON.stringify(recordOf(task, redact))
  const etag = `"${hash('sha1', text, 'base64url')}"`
  const headers = { ...RECORD_HEADERS, ETag: etag }
  const told = request?.headers.get('if-none-match')
  const isKnown = told != null && isNamed(etag, told)
  return new Response(isKnown ? null : text, { status: isKnown ? 304 : 200, headers })
}

/** It may be kept, and has to be asked for again each time. */
const RECORD_HEADERS = { ...JSON_HEADERS, 'Cache-Control': 'private, no-cache' }

function isNamed(etag: string, header: string): boolean {
  return header.split(',').some((each) => each.trim() === '*' || each.trim().replace(/^W\//, '') === etag)
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> }

/** Without what is undefined: the runner tells "not given" from that. */
export function defined<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>
}
