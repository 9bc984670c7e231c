/** What the server is asked, relative to the page: see the handler for what it answers. */
import type { Explanation, ScheduleRecord, TaskRecord } from '../../index.js'
import type { BulkResult, Filter, Overview, Page, Range, Stats } from './types.js'

interface Problem {
  readonly title?: string
  readonly detail?: string
  readonly code?: string
  readonly issues?: readonly { readonly message: string; readonly path?: string | readonly (string | number)[] }[]
}

/** The server said no. `status` 0: it said nothing. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string | undefined
  readonly issues: readonly string[]

  constructor(status: number, problem: Problem) {
    super(problem.detail ?? problem.title ?? `the server answered ${status}`)
    this.status = status
    this.code = problem.code
    this.issues = (problem.issues ?? []).map(({ message, path = '' }) => {
      const at = typeof path === 'string' ? path : path.join('.')
      return at === '' ? message : `${at}: ${message}`
    })
  }
}

/** What went wrong, line by line. */
export function linesOf(error: unknown): readonly string[] {
  const message = error instanceof Error ? error.message : String(error)
  const issues = error instanceof ApiError ? error.issues : []
  return [message, ...issues.filter((issue) => !message.includes(issue))]
}

interface Ask {
  readonly method?: string
  readonly body?: unknown
  /** A body that is JSON already. */
  readonly json?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

async function ask<T>(path: string, { method = 'GET', body, json, headers, signal }: Ask = {}): Promise<T> {
  const text = json ?? (body === undefined ? undefined : JSON.stringify(body))
  let response: Response
  try {
    response = await fetch(path, {
      method,
      headers: {
        accept: 'application/json',
        ...(text !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(text !== undefined && { body: text }),
      ...(signal !== undefined && { signal }),
    })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ApiError(0, { detail: 'The server cannot be reached.' })
  }
  if (response.ok) return (response.status === 204 ? undefined : await response.json()) as T
  throw new ApiError(response.status, await problemOf(response))
}

/** A proxy in between says what went wrong in its own words, or in a page: nothing to show. */
async function problemOf(response: Response): Promise<Problem> {
  const title = `The server answered ${response.status} ${response.statusText}`.trim()
  try {
    const problem: unknown = await response.json()
    return typeof problem === 'object' && problem !== null ? { title, ...problem } : { title }
  } catch {
    return { title }
  }
}

const taskPath = (id: string): string => `tasks/${encodeURIComponent(id)}`

export function overview(signal?: AbortSignal): Promise<Overview> {
  return ask('overview', { signal })
}

export function stats(range: Range, signal?: AbortSignal): Promise<Stats> {
  return ask(`stats?range=${range}`, { signal })
}

export function list(filter: Filter, limit: number, cursor: string | undefined, signal?: AbortSignal): Promise<Page> {
  const query = new URLSearchParams({ view: 'summary', limit: String(limit) })
  for (const key of ['states', 'names', 'tags'] as const) for (const value of filter[key]) query.append(key, value)
  if (cursor !== undefined) query.set('cursor', cursor)
  return ask(`tasks?${query}`, { signal })
}

export function task(id: string, signal?: AbortSignal): Promise<TaskRecord> {
  return ask(taskPath(id), { signal })
}

export function explain(id: string, signal?: AbortSignal): Promise<Explanation> {
  return ask(`${taskPath(id)}/explain`, { signal })
}

/** The address of a mail's HTML part, for a sandboxed frame. */
export function previewUrl(id: string): string {
  return `${taskPath(id)}/preview`
}

export interface SubmitSettings {
  readonly key?: string
  readonly priority?: string
  readonly delay?: string
}

export function submit(
  name: string,
  json: string,
  { key, priority = '', delay = '' }: SubmitSettings,
): Promise<{ readonly id: string; readonly deduplicated: boolean }> {
  const query = new URLSearchParams()
  if (priority !== '') query.set('priority', priority)
  if (delay !== '') query.set('delay', delay)
  const tail = query.size === 0 ? '' : `?${query}`
  const headers = key === undefined ? {} : { 'idempotency-key': key }
  return ask(`tasks/${encodeURIComponent(name)}${tail}`, { method: 'POST', json, headers })
}

export function cancel(id: string, options: { reason?: string; force?: boolean } = {}): Promise<TaskRecord> {
  return ask(`${taskPath(id)}/cancel`, { method: 'POST', body: options })
}

export function retry(id: string): Promise<TaskRecord> {
  return ask(`${taskPath(id)}/retry`, { method: 'POST', body: {} })
}

export function setPriority(id: string, priority: number): Promise<TaskRecord> {
  return ask(`${taskPath(id)}/priority`, { method: 'POST', body: { priority } })
}

export function remove(id: string): Promise<void> {
  return ask(taskPath(id), { method: 'DELETE' })
}

/** Changes those that the filter holds; without states, those that it can change. */
export function bulk(what: 'cancel' | 'retry', { states, names, tags }: Filter, limit: number): Promise<BulkResult> {
  const body = {
    ...(states.length > 0 && { states }),
    ...(names.length > 0 && { names }),
    ...(tags.length > 0 && { tags }),
    limit,
  }
  return ask(what, { method: 'POST', body })
}

export function pause(paused: boolean): Promise<void> {
  return ask(paused ? 'pause' : 'resume', { method: 'POST' })
}

export function schedules(signal?: AbortSignal): Promise<{ readonly schedules: readonly ScheduleRecord[] }> {
  return ask('schedules', { signal })
}

export function putSchedule(id: string, spec: Readonly<Record<string, unknown>>): Promise<void> {
  return ask(`schedules/${encodeURIComponent(id)}`, { method: 'PUT', body: spec })
}

export function removeSchedule(id: string): Promise<void> {
  return ask(`schedules/${encodeURIComponent(id)}`, { method: 'DELETE' })
}
