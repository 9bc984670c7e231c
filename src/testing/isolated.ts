/** Where a test runs handlers that belong in workers. */
import type { Duration, InputIssue, TaskDefinition, TaskMap } from '../index.js'
import { show } from './match.js'

/** What `createTestRunner`, `runTask` and `taskConformance` have in common. */
export interface IsolatedOption {
  /**
   * Whether handlers with `isolation` run in their threads and processes. Otherwise they are called inline, which is
   * quicker, and debuggers and coverage see them.
   *
   * @default false
   */
  readonly isolated?: boolean
}

/** As the test wants it: with its isolation, or without. */
export function placed<Definition extends TaskDefinition>(definition: Definition, isolated: boolean): Definition {
  return isolated || definition?.isolation === undefined ? definition : { ...definition, isolation: undefined }
}

/** All of them; what is no map of tasks is for the runner to refuse. */
export function allPlaced<Tasks extends TaskMap>(tasks: Tasks, isolated: boolean): Tasks {
  if (typeof tasks !== 'object' || tasks === null || Array.isArray(tasks)) return tasks
  return Object.fromEntries(Object.entries(tasks).map(([name, each]) => [name, placed(each, isolated)])) as Tasks
}

/** The time that the real machine has: a worker has to start. */
export function patienceFor(isolated: boolean): Duration {
  return isolated ? '10s' : '2s'
}

/** What is wrong with the option. */
export function issuesOf(isolated: unknown): readonly InputIssue[] {
  if (isolated === undefined || typeof isolated === 'boolean') return []
  return [{ message: `must be true or false, got ${show(isolated)}`, path: ['isolated'] }]
}
