/** The list of tasks: one page of it by cursor, live in place, with filters, selection and what can be done to many. */
import { Component, type VNode } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { TaskState } from '../../index.js'
import { bulkDialog, CHANGES, type Change, selectedDialog } from './actions.js'
import { list } from './api.js'
import { formatCount, plural } from './format.js'
import { listen } from './live.js'
import { go, listHash, taskHash } from './route.js'
import { letIn, MOST_ROWS, NO_ROWS, type Rows, rowsOf, withNews } from './rows.js'
import { reasonOf, say } from './status.js'
import { Text } from './text.js'
import type { Counts, Filter, LiveState, News, Summary } from './types.js'
import { Ago, Notice, Progress, StateBadge, StateIcon, Took } from './ui.js'
import { visibleText } from './visible.js'

export interface ListProps {
  readonly filter: Filter
  readonly cursor: string | undefined
  readonly counts: Counts | undefined
  /** May cancel, retry, remove. */
  readonly manage: boolean
  /** Names worth offering. */
  readonly names: readonly string[]
  readonly onLive: (state: LiveState) => void
  readonly onCounts: (counts: Counts) => void
  readonly onReset: () => void
}

export function TaskList(props: ListProps): VNode {
  const { filter, cursor, counts, manage, names, onLive, onCounts, onReset } = props
  const hash = listHash(filter, cursor)
  const first = cursor === undefined
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const { held, hold, letGo } = useHold()
  const still = held || selected.size > 0
  const { rows, error, loading, reload, settle } = useRows({ filter, cursor, hash, still, onLive, onCounts, onReset })
  const waiting = rows.waiting.size

  useEffect(() => setSelected(new Set()), [hash])
  useEffect(() => {
    if (!still) settle()
  }, [still])

  const chosen = rows.tasks.filter(({ id }) => selected.has(id))
  const select = (id: string, on: boolean): void => {
    setSelected((before) => {
      const after = new Set(before)
      if (on) after.add(id)
      else after.delete(id)
      return after
    })
  }
  const older = async (): Promise<void> => {
    // What is shown may be another filter's until it is read.
    if (loading) return
    let { next } = rows
    try {
      // Rows have moved down since: the cursor that follows the last one is another by now.
      if (rows.shifted || next === '') next = (await list(filter, MOST_ROWS, undefined)).next
      if (next !== undefined) go(listHash(filter, next))
    } catch (reason) {
      say(reasonOf(reason), 'bad')
    }
  }
  const afterwards = (): void => {
    setSelected(new Set())
    reload()
  }

  return (
    <section class="list" aria-labelledby="list-title">
      <header class="list-head">
        <h2 id="list-title">Tasks</h2>
        <Filters filter={filter} names={names} />
        {manage && (
          <div class="list-actions">
            {CHANGES.map((change) => (
              <button
                key={change.verb}
                type="button"
                onClick={() => bulkDialog(change, filter, counts, afterwards)}
                aria-label={`${change.title} all that match…`}
              >
                {change.title} all…
              </button>
            ))}
          </div>
        )}
      </header>
      {chosen.length > 0 && (
        <div class="selection" role="toolbar" aria-label="Selected tasks">
          <strong class="num">{plural(chosen.length, 'task')} selected</strong>
          <SelectionButtons chosen={chosen} done={afterwards} />
          <button type="button" class="quiet" onClick={() => setSelected(new Set())}>
            Clear
          </button>
        </div>
      )}
      {error !== undefined && (
        <Notice
          tone="bad"
          title="The list could not be read"
          action={
            <button type="button" onClick={reload}>
              Try again
            </button>
          }
        >
          {error}
        </Notice>
      )}
      <div class="table-frame" aria-busy={loading} data-still={still || undefined}>
        {waiting > 0 && (
          <button type="button" class="waiting" onClick={settle}>
            {waiting >= MOST_ROWS ? `${MOST_ROWS}+ new tasks` : plural(waiting, 'new task')} · show
          </button>
        )}
        <table class="tasks">
          <caption class="sr">Tasks, the newest first</caption>
          <thead>
            <tr>
              {manage && (
                <th scope="col" class="c-check">
                  <input
                    type="checkbox"
                    aria-label="Select all tasks on this page"
                    checked={chosen.length > 0 && chosen.length === rows.tasks.length}
                    onChange={(event) =>
                      setSelected(new Set(event.currentTarget.checked ? rows.tasks.map(({ id }) => id) : []))
                    }
                  />
                </th>
              )}
              <th scope="col" class="c-state">
                State
              </th>
              <th scope="col" class="c-name">
                Task
              </th>
              <th scope="col" class="c-detail">
                Progress, or what went wrong
              </th>
              <th scope="col" class="c-attempt">
                Attempt
              </th>
              <th scope="col" class="c-took">
                Took
              </th>
              <th scope="col" class="c-age">
                Submitted
              </th>
            </tr>
          </thead>
          <tbody
            onPointerEnter={hold}
            onPointerMove={hold}
            onPointerLeave={letGo}
            onFocusIn={hold}
            onKeyDown={hold}
            onFocusOut={letGo}
          >
            {rows.tasks.map((task) => (
              <Row key={task.id} task={task} selected={selected.has(task.id)} manage={manage} select={select} />
            ))}
          </tbody>
        </table>
        {rows.tasks.length === 0 && error === undefined && (
          <p class="empty">{loading ? 'Reading…' : isEmpty(filter) && first ? 'No tasks yet.' : 'No task matches.'}</p>
        )}
      </div>
      <nav class="pager" aria-label="Pages">
        {first ? (
          <span class="muted num">{plural(rows.tasks.length, 'task')} shown, the newest first</span>
        ) : (
          <a class="button" href={listHash(filter)}>
            Newest
          </a>
        )}
        {rows.next !== undefined && (
          <button type="button" onClick={() => void older()}>
            Older
          </button>
        )}
      </nav>
    </section>
  )
}

/** ms without a movement after which somebody who points at the list is taken to have left the machine. */
const HELD_FOR = 20_000

/** Whether somebody is at the list just now. */
function useHold(): { readonly held: boolean; readonly hold: () => void; readonly letGo: () => void } {
  const [held, setHeld] = useState(false)
  const seenAt = useRef(0)
  const hold = (): void => {
    seenAt.current = performance.now()
    setHeld(true)
  }
  const letGo = (): void => setHeld(false)
  useEffect(() => {
    if (!held) return
    const timer = setInterval(() => {
      if (performance.now() - seenAt.current > HELD_FOR) letGo()
    }, 1000)
    return () => clearInterval(timer)
  }, [held])
  return { held, hold, letGo }
}

const NOTHING: ReadonlySet<string> = new Set()

interface RowsSource {
  readonly filter: Filter
  readonly cursor: string | undefined
  /** Of both: what is read again when it is another. */
  readonly hash: string
  readonly still: boolean
  readonly onLive: (state: LiveState) => void
  readonly onCounts: (counts: Counts) => void
  readonly onReset: () => void
}

interface RowsState {
  readonly rows: Rows
  readonly error: string | undefined
  readonly loading: boolean
  readonly reload: () => void
  /** Lets in what waits. */
  readonly settle: () => void
}

function useRows(source: RowsSource): RowsState {
  const { filter, cursor, hash } = source
  const [rows, setRows] = useState(NO_ROWS)
  const [error, setError] = useState<string>()
  const [loading, setLoading] = useState(true)
  /** How often it was read anew; `gently`: because of news, not because somebody wants to see it. */
  const [asked, setAsked] = useState({ times: 0, gently: false })
  const latest = useRef(source)
  latest.current = source
  /** News that came while the page was read: the page may be older than that. */
  const missed = useRef<Pick<News, 'tasks' | 'removed'>[] | undefined>(undefined)
  const again = useRef<ReturnType<typeof setTimeout>>(undefined)
  /** While the list held still something was missed. */
  const behind = useRef(false)
  const read = useRef<string>(undefined)

  const situation = () => {
    const { filter, cursor, still } = latest.current
    return { filter, first: cursor === undefined, still }
  }

  useEffect(() => {
    const controller = new AbortController()
    setLoading(true)
    missed.current = []
    list(filter, MOST_ROWS, cursor, controller.signal)
      .then((page) => {
        const now = situation()
        const gently = asked.gently && now.still && read.current === hash
        const since = missed.current ?? []
        setRows((all) => {
          if (!gently) return since.reduce((rows, news) => withNews(rows, news, { ...now, still: false }), rowsOf(page))
          const found = new Map(page.tasks.map((task) => [task.id, task]))
          return since.reduce(
            (rows, news) => withNews(rows, news, now),
            withNews(all, { tasks: found, removed: NOTHING }, now),
          )
        })
        behind.current = gently
        read.current = hash
        setError(undefined)
      })
      .catch((reason: unknown) => {
        if (!controller.signal.aborted) setError(reasonOf(reason))
      })
      .finally(() => {
        if (controller.signal.aborted) return
        missed.current = undefined
        setLoading(false)
      })
    return () => controller.abort()
  }, [hash, asked])

  // The rows of another filter are none of this one's, not even for the moment until it is read.
  useEffect(() => setRows((all) => letIn({ ...all, waiting: NO_ROWS.waiting }, filter)), [hash])

  useEffect(() => {
    const stop = listen(undefined, {
      state: (state) => latest.current.onLive(state),
      news: (news) => {
        if (news.counts !== undefined) latest.current.onCounts(news.counts)
        // A server that says so often is not asked as often.
        if (news.reset) {
          again.current ??= setTimeout(() => {
            again.current = undefined
            latest.current.onReset()
            setAsked(({ times }) => ({ times: times + 1, gently: true }))
          }, 500)
        }
        if (news.tasks.size === 0 && news.removed.size === 0) return
        missed.current?.push(news)
        setRows((all) => withNews(all, news, situation()))
      },
    })
    return () => {
      clearTimeout(again.current)
      stop()
    }
  }, [])

  const reload = (): void => setAsked(({ times }) => ({ times: times + 1, gently: false }))
  const settle = (): void => {
    setRows((all) => letIn(all, latest.current.filter))
    if (behind.current) reload()
  }
  return { rows, error, loading, reload, settle }
}

interface RowProps {
  readonly task: Summary
  readonly selected: boolean
  readonly manage: boolean
  readonly select: (id: string, on: boolean) => void
}

/** Drawn again only if its own task has changed. */
class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    const { task, selected, manage } = this.props
    return next.task !== task || next.selected !== selected || next.manage !== manage
  }

  override render({ task, selected, manage, select }: RowProps): VNode {
    const { id, name, state, attempt, maxAttempts, tags, createdAt, startedAt, finishedAt } = task
    return (
      <tr data-state={state} data-task={id} aria-selected={selected || undefined}>
        {manage && (
          <td class="c-check">
            <input
              type="checkbox"
              aria-label={`Select ${visibleText(name, 60)} ${visibleText(id, 60)}`}
              checked={selected}
              onChange={(event) => select(id, event.currentTarget.checked)}
            />
          </td>
        )}
        <td class="c-state">
          <StateBadge state={state} />
        </td>
        <td class="c-name">
          <a class="row-link" href={taskHash(id)}>
            <span class="name">
              <Text most={80}>{name}</Text>
            </span>{' '}
            <span class="id">
              <Text most={60}>{id}</Text>
            </span>
          </a>
          {tags !== undefined && tags.length > 0 && <Tags tags={tags} />}
        </td>
        <td class="c-detail">
          <Detail task={task} />
        </td>
        <td class="c-attempt num">{attempt > 0 && `${attempt} of ${maxAttempts}`}</td>
        <td class="c-took">
          {startedAt !== undefined && (state === 'running' || finishedAt !== undefined) && (
            <Took from={startedAt} to={finishedAt} />
          )}
        </td>
        <td class="c-age">
          <Ago at={createdAt} />
        </td>
      </tr>
    )
  }
}

function Tags({ tags }: { tags: readonly string[] }): VNode {
  return (
    <span class="tags">
      {tags.slice(0, 4).map((tag, at) => (
        <span key={at} class="tag">
          <Text most={30}>{tag}</Text>
        </span>
      ))}
      {tags.length > 4 && <span class="tag">+{tags.length - 4}</span>}
    </span>
  )
}

/** The one thing that is of most interest in its state. */
function Detail({ task }: { task: Summary }): VNode | null {
  const { state, progress, error, runAt, cancelRequestedAt } = task
  if (state === 'running' && cancelRequestedAt !== undefined) return <span class="muted">is being cancelled…</span>
  if (state === 'running' && progress !== undefined) return <Progress value={progress} label="Progress" />
  const why = error !== undefined && (
    <span class="why">
      {error.code !== undefined && (
        <code class="code">
          <Text most={40}>{error.code}</Text>
        </code>
      )}{' '}
      <Text most={160}>{error.message}</Text>
    </span>
  )
  if (state === 'scheduled') {
    return (
      <>
        <span class="muted">
          due <Ago at={runAt} />
        </span>{' '}
        {why}
      </>
    )
  }
  return why === false ? null : why
}

function isEmpty({ states, names, tags }: Filter): boolean {
  return states.length + names.length + tags.length === 0
}

function SelectionButtons({ chosen, done }: { chosen: readonly Summary[]; done: () => void }): VNode {
  return (
    <>
      {[...CHANGES, REMOVE].map((change) => {
        const fitting = chosen.filter(({ state }) => change.states.includes(state))
        return (
          <button
            key={change.verb}
            type="button"
            disabled={fitting.length === 0}
            onClick={() => selectedDialog(change, fitting, done)}
          >
            {change.title} {fitting.length > 0 && <span class="num">{formatCount(fitting.length)}</span>}
          </button>
        )
      })}
    </>
  )
}

const REMOVE: Change = {
  verb: 'remove',
  title: 'Remove',
  done: 'removed',
  danger: true,
  states: ['succeeded', 'failed', 'cancelled'],
}

function Filters({ filter, names }: { filter: Filter; names: readonly string[] }): VNode {
  const [name, setName] = useState('')
  const [tag, setTag] = useState('')
  const chips = useMemo(
    () => [
      ...filter.states.map((value) => ({ key: 'states' as const, value: value as string })),
      ...filter.names.map((value) => ({ key: 'names' as const, value })),
      ...filter.tags.map((value) => ({ key: 'tags' as const, value })),
    ],
    [filter],
  )
  const add = (event: Event): void => {
    event.preventDefault()
    const more = (old: readonly string[], value: string): readonly string[] =>
      value === '' || old.includes(value) ? old : [...old, value]
    go(listHash({ ...filter, names: more(filter.names, name.trim()), tags: more(filter.tags, tag.trim()) }))
    setName('')
    setTag('')
  }
  return (
    <form class="filters" onSubmit={add} aria-label="Filter">
      <input
        id="filter-name"
        type="search"
        aria-label="Filter by task name"
        placeholder="Name"
        list="filter-names"
        autocomplete="off"
        spellcheck={false}
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <datalist id="filter-names">
        {names.map((each) => (
          <option key={each} value={each} />
        ))}
      </datalist>
      <input
        type="search"
        aria-label="Filter by tag"
        placeholder="Tag"
        autocomplete="off"
        spellcheck={false}
        value={tag}
        onInput={(event) => setTag(event.currentTarget.value)}
      />
      <button type="submit">Filter</button>
      {chips.map(({ key, value }) => (
        <a
          key={`${key} ${value}`}
          class="chip"
          href={listHash({ ...filter, [key]: (filter[key] as readonly string[]).filter((each) => each !== value) })}
        >
          {key === 'states' ? <StateIcon state={value as TaskState} /> : <span class="muted">{key.slice(0, -1)}</span>}
          <Text most={40}>{value}</Text>
          <span aria-hidden="true">×</span>
          <span class="sr">remove this filter</span>
        </a>
      ))}
    </form>
  )
}
