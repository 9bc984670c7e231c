/** What can be done to tasks, each after a question: to one, to those that are selected, to all that a filter holds. */
import type { TaskRecord, TaskState } from '../../index.js'
import { bulk, cancel, remove, retry, setPriority } from './api.js'
import { openDialog } from './dialogs.js'
import { formatCount, plural } from './format.js'
import { reasonOf, say } from './status.js'
import type { Counts, Filter, Summary } from './types.js'
import { visibleText } from './visible.js'

export interface Change {
  readonly verb: 'cancel' | 'retry' | 'remove'
  readonly title: string
  readonly done: string
  readonly danger: boolean
  /** Of a task that it can be done to. */
  readonly states: readonly TaskState[]
}

/** What can be done to all that match. */
export const CHANGES: readonly (Change & { readonly verb: 'cancel' | 'retry' })[] = [
  { verb: 'retry', title: 'Retry', done: 'retried', danger: false, states: ['failed', 'cancelled'] },
  { verb: 'cancel', title: 'Cancel', done: 'cancelled', danger: true, states: ['queued', 'scheduled', 'running'] },
]

/** Asked for at a time: enough to be quick, few enough to be told how far it is. */
const BATCH = 1000
const AT_ONCE = 6

const called = ({ name, id }: Pick<Summary, 'id' | 'name'>): string => `${visibleText(name, 60)} ${visibleText(id, 60)}`

export function selectedDialog(
  { verb, title, done, danger }: Change,
  tasks: readonly Summary[],
  after: () => void,
): void {
  openDialog({
    title: `${title} ${plural(tasks.length, 'task')}?`,
    body: verb === 'remove' ? 'They are forgotten: input, output, history.' : undefined,
    confirm: `${title} ${plural(tasks.length, 'task')}`,
    danger,
    act: async (_, report, signal) => {
      const act = { cancel, retry, remove }[verb] as (id: string) => Promise<unknown>
      const left = [...tasks]
      const refused: string[] = []
      let changed = 0
      const worker = async (): Promise<void> => {
        for (let task = left.shift(); task !== undefined && !signal.aborted; task = left.shift()) {
          try {
            await act(task.id)
            report(`${formatCount(++changed)} of ${formatCount(tasks.length)} ${done}`)
          } catch (error) {
            refused.push(`${called(task)}: ${reasonOf(error)}`)
          }
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, worker))
      after()
      if (refused.length > 0) throw new Error(`${changed} ${done}, ${refused.length} not. ${refused[0]}`)
      say(`${plural(changed, 'task')} ${done}.`)
    },
  })
}

export function bulkDialog(
  { verb, title, done, danger, states }: (typeof CHANGES)[number],
  filter: Filter,
  counts: Counts | undefined,
  after: () => void,
): void {
  const wanted = verb === 'retry' && filter.states.length === 0 ? (['failed'] as const) : states
  const affected = wanted.filter((state) => filter.states.length === 0 || filter.states.includes(state))
  if (affected.length === 0) {
    openDialog({
      title: `Nothing to ${verb}`,
      body: `The filter shows ${filter.states.join(', ')}: only ${states.join(', ')} tasks can be ${done}.`,
    })
    return
  }
  const narrowed = [
    ...filter.names.map((name) => `named ${visibleText(name, 60)}`),
    ...filter.tags.map((tag) => `tagged ${visibleText(tag, 60)}`),
  ]
  const total = affected.reduce((sum, state) => sum + (counts?.[state] ?? 0), 0)
  openDialog({
    title: `${title} all ${affected.join(', ')} tasks${narrowed.length > 0 ? ` ${narrowed.join(', ')}` : ''}?`,
    body:
      narrowed.length > 0
        ? `At most ${plural(total, 'task')}, whether it is on this page or not.`
        : `${plural(total, 'task')}, whether on this page or not.`,
    confirm: `${title} all`,
    danger,
    act: async (_, report, signal) => {
      let changed = 0
      // No more rounds than there are tasks for: one that runs on after it was asked to stop is asked once.
      for (let round = 0; round <= total / BATCH + 1; round++) {
        const result = await bulk(verb, { ...filter, states: affected }, BATCH)
        changed += result.changed
        report(`${formatCount(changed)} ${done}`)
        if (!result.more || result.changed === 0 || signal.aborted) break
      }
      after()
      say(`${plural(changed, 'task')} ${done}.`)
    },
  })
}

export function cancelDialog(task: TaskRecord, after: (record: TaskRecord) => void): void {
  const running = task.state === 'running'
  openDialog({
    title: `Cancel ${visibleText(task.name, 60)}?`,
    body: running ? 'It runs: its handler is asked to stop.' : 'It has not begun, and will not.',
    fields: [
      { name: 'reason', label: 'Reason', type: 'text', hint: 'Kept with the task. May be left empty.' },
      ...(running
        ? [
            {
              name: 'force',
              label: 'Do not wait for it',
              type: 'checkbox' as const,
              hint: 'The task counts as cancelled at once, whatever its handler still does.',
            },
          ]
        : []),
    ],
    confirm: 'Cancel the task',
    danger: true,
    act: async ({ reason = '', force }) => {
      after(await cancel(task.id, { ...(reason !== '' && { reason }), ...(force === 'on' && { force: true }) }))
      say(running ? 'It was asked to stop.' : 'Cancelled.')
    },
  })
}

export function retryDialog(task: TaskRecord, after: (record: TaskRecord) => void): void {
  openDialog({
    title: `Retry ${visibleText(task.name, 60)}?`,
    body: 'It is queued again with a new budget of attempts. What it has done already may be done once more.',
    confirm: 'Retry the task',
    act: async () => {
      after(await retry(task.id))
      say('Queued again.')
    },
  })
}

export function priorityDialog(task: TaskRecord, after: (record: TaskRecord) => void): void {
  openDialog({
    title: 'Change the priority',
    fields: [
      {
        name: 'priority',
        label: 'Priority',
        type: 'number',
        value: String(task.priority),
        required: true,
        hint: 'The higher, the sooner. 0 is usual.',
      },
    ],
    confirm: 'Change it',
    act: async ({ priority }) => {
      after(await setPriority(task.id, Number(priority)))
      say('The priority was changed.')
    },
  })
}

export function removeDialog(task: TaskRecord, after: () => void): void {
  openDialog({
    title: `Remove ${visibleText(task.name, 60)}?`,
    body: 'It is forgotten: input, output, history.',
    confirm: 'Remove the task',
    danger: true,
    act: async () => {
      await remove(task.id)
      say('Removed.')
      after()
    },
  })
}
