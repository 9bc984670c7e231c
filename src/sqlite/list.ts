/** One page of tasks, newest first: a merge of few ranges of an index, whatever is filtered by and however many there are. */
import type { ListPage, ListQuery } from '../engine.js'
import { fromCursor, toCursor } from '../local/cursor.js'
import { toRecord } from '../record.js'
import { type SqliteTask, STATES, stateNumber } from './rows.js'
import type { TaskTable } from './task-table.js'

/** @throws {InvalidInputError} a cursor that is none */
export function listPage(table: TaskTable, query: ListQuery): ListPage {
  const { limit } = query
  const before = query.cursor === undefined ? Number.MAX_SAFE_INTEGER : fromCursor(query.cursor)
  const found = matching(table, query, before, limit + 1)
  const tasks = found.slice(0, limit)
  const last = tasks.at(-1)
  return {
    tasks: tasks.map(toRecord),
    ...(found.length > limit && last !== undefined && { next: toCursor(last.seq) }),
  }
}

function matching(table: TaskTable, query: ListQuery, before: number, limit: number): SqliteTask[] {
  const { tags = [] } = query
  if (query.states === undefined && query.names === undefined && tags.length === 0) return table.latest(before, limit)
  const ranges = rangesOf(table, query)
  const found: SqliteTask[] = []
  for (let from = before; found.length < limit; ) {
    // The best `limit` of all ranges are among the best `limit` of each.
    const seqs = ranges
      .flatMap(([name, state]) => table.range(name, state, from, limit, tags))
      .sort((a, b) => b - a)
      .slice(0, limit)
    for (const seq of seqs) {
      const task = table.bySeq(seq)
      if (task !== undefined && tags.every((tag) => task.extras?.tags?.includes(tag))) found.push(task)
    }
    if (seqs.length < limit) break
    from = seqs.at(-1) as number
  }
  return found.slice(0, limit)
}

/** Every name and state that is asked for. */
function rangesOf(table: TaskTable, { names, states }: ListQuery): (readonly [number, number])[] {
  const numbers =
    names === undefined
      ? [...table.names.numbers]
      : [...new Set(names)].flatMap((name) => table.names.number(name) ?? [])
  const wanted = [...new Set(states ?? STATES)].map(stateNumber)
  return numbers.flatMap((name) => wanted.map((state) => [name, state] as const))
}
