/** The API, the live events and the dashboard of the tasks, as the examples mount them at /tasks. */
import { accessToken, createHandler, type Handler } from 'background-runner/http'
import type { Config } from './config.js'
import type { Runner } from './tasks.js'

const LOOPBACK = ['127.0.0.1', '[::1]', 'localhost']

/** Whoever has the token may see and do everything; without one whoever is on this machine, where nobody else gets in. */
export function createDashboard(runner: Runner, { host, tasksToken }: Pick<Config, 'host' | 'tasksToken'>): Handler {
  const submit = ['email', 'picture'] as const
  if (tasksToken !== undefined) return createHandler(runner, { authorize: accessToken(tasksToken), submit })
  if (!isLoopback(host)) return createHandler(runner, { submit })
  return createHandler(runner, {
    // By the name that was asked for: another one that leads here may be a trick of a page from elsewhere (DNS rebinding).
    authorize: (request) => LOOPBACK.includes(new URL(request.url).hostname) && ['read', 'submit', 'manage'],
    submit,
  })
}

/** What is printed of it at the start. */
export function dashboardNotice(url: string, { host, tasksToken }: Pick<Config, 'host' | 'tasksToken'>): string {
  if (tasksToken !== undefined) return `the tasks are at ${url}/tasks/ (any user name, TASKS_TOKEN as password)`
  if (isLoopback(host)) return `the tasks are at ${url}/tasks/`
  return 'others can reach this machine: set TASKS_TOKEN to see the tasks at /tasks/'
}

function isLoopback(host: string): boolean {
  return LOOPBACK.includes(host) || host === '::1' || host.startsWith('127.')
}
