/**
 * The rows of a list, and what news makes of them. A list that somebody points at or works in holds still: its rows
 * change in place, none comes or goes under the pointer, and what is new waits until it is let in. No DOM: tested in Node.
 */
import type { Filter, News, Page, Summary } from './types.js'

/** The most rows that are shown at a time. */
export const MOST_ROWS = 100

export interface Rows {
  readonly tasks: readonly Summary[]
  /** The cursor of what is older. */
  readonly next: string | undefined
  /** Rows were pushed out at the end since `next` was told: it would leave them out. */
  readonly shifted: boolean
  /** What would be shown if the list did not hold still, by id. */
  readonly waiting: ReadonlyMap<string, Summary>
}

export const NO_ROWS: Rows = { tasks: [], next: undefined, shifted: false, waiting: new Map() }

export interface Situation {
  readonly filter: Filter
  /** The first page, which new tasks belong to. */
  readonly first: boolean
  readonly still: boolean
}

export function rowsOf({ tasks, next }: Page): Rows {
  return { ...NO_ROWS, tasks, next }
}

function matches(task: Summary, { states, names, tags }: Filter): boolean {
  return (
    (states.length === 0 || states.includes(task.state)) &&
    (names.length === 0 || names.includes(task.name)) &&
    tags.every((tag) => task.tags?.includes(tag))
  )
}

/** The same rows where the news does not touch them. */
export function withNews(rows: Rows, news: Pick<News, 'tasks' | 'removed'>, { filter, first, still }: Situation): Rows {
  const fresh = new Map<string, Summary>()
  for (const [id, task] of news.tasks) if (first && matches(task, filter)) fresh.set(id, task)
  let touched = false
  const tasks: Summary[] = []
  for (const old of rows.tasks) {
    const task = news.tasks.get(old.id) ?? old
    fresh.delete(old.id)
    const stays = !news.removed.has(old.id) && (task === old || still || matches(task, filter))
    if (stays) tasks.push(task)
    if (!stays || task !== old) touched = true
  }
  const waiting = new Map(rows.waiting)
  for (const id of news.removed) waiting.delete(id)
  for (const id of news.tasks.keys()) if (!fresh.has(id)) waiting.delete(id)
  const last = rows.tasks.at(-1)
  for (const [id, task] of fresh) {
    const belongs = rows.next === undefined || last === undefined || task.createdAt >= last.createdAt
    if (belongs || waiting.has(id)) waiting.set(id, task)
  }
  if (!touched && waiting.size === 0 && rows.waiting.size === 0) return rows
  if (still) return { ...rows, tasks, waiting: newest(waiting) }
  return letIn({ ...rows, tasks, waiting }, filter)
}

/** What waited comes in, what no longer belongs goes. */
export function letIn(rows: Rows, filter: Filter): Rows {
  const fresh = [...rows.waiting.values()].sort((a, b) => b.createdAt - a.createdAt)
  const staying = rows.tasks.filter((task) => matches(task, filter))
  if (fresh.length === 0 && staying.length === rows.tasks.length) return rows
  const tasks: Summary[] = []
  let at = 0
  for (const task of staying) {
    while (at < fresh.length && (fresh[at] as Summary).createdAt >= task.createdAt) tasks.push(fresh[at++] as Summary)
    tasks.push(task)
  }
  tasks.push(...fresh.slice(at))
  const over = tasks.length > MOST_ROWS
  return {
    tasks: over ? tasks.slice(0, MOST_ROWS) : tasks,
    next: rows.next ?? (over ? '' : undefined),
    shifted: rows.shifted || over,
    waiting: NO_ROWS.waiting,
  }
}

/** More than a page of them is never let in. */
function newest(waiting: Map<string, Summary>): ReadonlyMap<string, Summary> {
  if (waiting.size <= 10 * MOST_ROWS) return waiting
  const kept = [...waiting].sort(([, a], [, b]) => b.createdAt - a.createdAt).slice(0, MOST_ROWS)
  return new Map(kept)
}
