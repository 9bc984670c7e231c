/** The dashboard's list: what news makes of its rows. */
import type { TaskState } from 'background-runner'
import { describe, expect, it } from 'vitest'
import { letIn, MOST_ROWS, type Rows, rowsOf, withNews } from '../../src/http/dashboard/rows.js'
import type { Filter, Summary } from '../../src/http/dashboard/types.js'

const ALL: Filter = { states: [], names: [], tags: [] }
const LIVE = { filter: ALL, first: true, still: false }

const task = (n: number, state: TaskState = 'queued', more: Partial<Summary> = {}): Summary => ({
  id: `t${n}`,
  name: 'work',
  state,
  attempt: 0,
  maxAttempts: 3,
  priority: 0,
  createdAt: n,
  runAt: n,
  ...more,
})
const news = (...tasks: Summary[]) => ({
  tasks: new Map(tasks.map((each) => [each.id, each])),
  removed: new Set<string>(),
})
const gone = (...ids: string[]) => ({ tasks: new Map<string, Summary>(), removed: new Set(ids) })
const ids = ({ tasks }: Rows): string => tasks.map(({ id }) => id).join(' ')
const rows: Rows = rowsOf({ tasks: [task(5), task(3), task(1)] })

describe('a list', () => {
  it('changes a row in place, and is the same where nothing of it has changed', () => {
    const after = withNews(rows, news(task(3, 'running')), LIVE)
    expect(ids(after)).toBe('t5 t3 t1')
    expect(after.tasks[1]?.state).toBe('running')
    expect(after.tasks[0]).toBe(rows.tasks[0])
    expect(withNews(rowsOf({ tasks: [task(5)], next: 'c' }), news(task(2)), LIVE).tasks).toHaveLength(1)
    const older = { ...LIVE, first: false }
    expect(withNews(rows, news(task(9)), older)).toBe(rows)
  })

  it('takes in what is new at its place, and drops what is removed', () => {
    expect(ids(withNews(rows, news(task(4), task(7), task(6)), LIVE))).toBe('t7 t6 t5 t4 t3 t1')
    expect(ids(withNews(rows, gone('t3', 'unknown'), LIVE))).toBe('t5 t1')
  })

  it('holds what the filter holds', () => {
    const failed = { ...LIVE, filter: { states: ['failed'], names: ['work'], tags: ['a', 'b'] } as Filter }
    const tags = ['b', 'c', 'a']
    const before = rowsOf({ tasks: [task(5, 'failed', { tags })] })
    expect(ids(withNews(before, news(task(6, 'failed', { tags }), task(7, 'queued', { tags })), failed))).toBe('t6 t5')
    expect(ids(withNews(before, news(task(6, 'failed', { tags: ['a'] })), failed))).toBe('t5')
    expect(ids(withNews(before, news(task(6, 'failed', { tags, name: 'x' })), failed))).toBe('t5')
    expect(ids(withNews(before, news(task(5, 'queued', { tags })), failed))).toBe('')
  })

  it('has a page and no more, and says that its cursor is no longer that of its end', () => {
    const full = rowsOf({ tasks: Array.from({ length: MOST_ROWS }, (_, n) => task(1000 - n)), next: 'c' })
    const after = withNews(full, news(task(2000)), LIVE)
    expect(after.tasks).toHaveLength(MOST_ROWS)
    expect(after.tasks[0]?.id).toBe('t2000')
    expect(after).toMatchObject({ next: 'c', shifted: true })
    expect(full.shifted).toBe(false)
    const grown = withNews(rowsOf({ tasks: full.tasks }), news(task(2000)), LIVE)
    expect(grown.next).toBeDefined()
  })
})

describe('a list that holds still', () => {
  const still = { ...LIVE, still: true, filter: { ...ALL, states: ['queued'] } as Filter }

  it('keeps its rows where they are until they are let in', () => {
    let held = withNews(rows, news(task(7), task(3, 'running')), still)
    expect(ids(held)).toBe('t5 t3 t1')
    expect(held.tasks[1]?.state).toBe('running')
    expect(held.waiting.size).toBe(1)
    held = withNews(held, news(task(8)), still)
    expect(ids(letIn(held, still.filter))).toBe('t8 t7 t5 t1')
    expect(letIn(held, still.filter).waiting.size).toBe(0)
  })

  it('forgets what waits and no longer belongs', () => {
    const held = withNews(rows, news(task(7), task(8)), still)
    expect(withNews(held, news(task(7, 'running')), still).waiting.size).toBe(1)
    expect(withNews(held, gone('t7', 't8'), still).waiting.size).toBe(0)
  })

  it('keeps no more waiting than could be shown', () => {
    const many = Array.from({ length: 5000 }, (_, n) => task(n + 10))
    const held = withNews(rows, news(...many), still)
    expect(held.waiting.size).toBe(MOST_ROWS)
    expect(letIn(held, still.filter).tasks[0]?.id).toBe('t5009')
  })
})
