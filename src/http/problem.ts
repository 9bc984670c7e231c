/** What is answered where something is wrong: problem details as JSON (RFC 9457), from errors told apart by their `code`. */

import type { BackgroundRunner, BackgroundRunnerError, InputIssue } from '../index.js'
import { json } from './answer.js'

export interface ProblemBody {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly issues?: readonly InputIssue[]
}

/** A request that is not served, and why. */
export class Problem extends Error {
  readonly status: number
  readonly code: string
  readonly headers: Readonly<Record<string, string>>
  readonly issues: readonly InputIssue[] | undefined

  constructor(
    status: number,
    code: string,
    detail: string,
    more: { readonly headers?: Record<string, string>; readonly issues?: readonly InputIssue[] } = {},
  ) {
    super(detail)
    this.status = status
    this.code = code
    this.headers = more.headers ?? {}
    this.issues = more.issues
  }
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
}

/** How long a caller is asked to wait where the queue is full, s. */
const RETRY_AFTER = '5'

/** What went wrong, as a problem; undefined: nobody outside is told more than that something did. */
export function problemOf(thrown: unknown): Problem | undefined {
  if (thrown instanceof Problem) return thrown
  const { code, message, issues } = thrown as Partial<BackgroundRunnerError> & { issues?: readonly InputIssue[] }
  const problem = (status: number, detail = message ?? '', headers: Record<string, string> = {}): Problem =>
    new Problem(status, code as string, detail, issues === undefined ? { headers } : { headers, issues })
  switch (code) {
    case 'INVALID_INPUT':
      return problem(422)
    case 'TASK_NOT_FOUND':
    case 'UNKNOWN_TASK':
      return problem(404)
    case 'INVALID_STATE':
      return problem(409)
    case 'QUEUE_FULL':
      return problem(503, message, { 'Retry-After': RETRY_AFTER })
    case 'RUNNER_CLOSED':
      return problem(503, message, { 'Retry-After': RETRY_AFTER })
    // What the engine says of its storage is for the app's log.
    case 'ENGINE_ERROR':
      return problem(503, 'The tasks cannot be reached at the moment.', { 'Retry-After': RETRY_AFTER })
    case 'UNSUPPORTED_BY_ENGINE':
      return problem(501)
  }
  return undefined
}

export const INTERNAL: Problem = new Problem(500, 'INTERNAL', 'Something went wrong here.')

export function problemResponse({ status, code, message, headers, issues }: Problem): Response {
  const title = TITLES[status] ?? 'Error'
  const type = `urn:background-runner:problem:${code.toLowerCase().replaceAll('_', '-')}`
  const body: ProblemBody = { type, title, status, detail: message, code, ...(issues !== undefined && { issues }) }
  return json(body, status, { ...headers, 'Content-Type': 'application/problem+json' })
}

/** A fault of our own or of the app's is for the app: as `error`, or as a warning where nobody hears that. */
export function tellFault(runner: BackgroundRunner, fault: unknown): void {
  if (runner.emit('error', fault)) return
  const { message, stack: detail } = fault instanceof Error ? fault : new Error(String(fault))
  process.emitWarning(message, { type: 'BackgroundRunnerWarning', ...(detail !== undefined && { detail }) })
}
