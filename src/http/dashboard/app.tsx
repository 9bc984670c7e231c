/** The frame around every page: where one is, whether it is live, what holds for all tasks, and the keys. */
import type { VNode } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { type ApiError, pause, overview as readOverview } from './api.js'
import { Charts } from './charts.js'
import { setServerTime, useEvery } from './clock.js'
import { DialogHost, openDialog } from './dialogs.js'
import { formatCount } from './format.js'
import { keysDialog, useKeys } from './keys.js'
import { TaskList } from './list.js'
import { listHash, type Route, STATES, useRoute } from './route.js'
import { SchedulesPage } from './schedules.js'
import { StatusLine, say } from './status.js'
import { SubmitPage } from './submit.js'
import { TaskPage } from './task.js'
import { Text } from './text.js'
import { type Theme, useTheme } from './theme.js'
import type { Counts, LiveState, Overview } from './types.js'
import { Ago, Notice, StateIcon } from './ui.js'
import { visibleText } from './visible.js'

/** ms: holds and pauses are not among the events. */
const EVERY = 10_000

const PAGES = [
  { page: 'tasks', href: '#/', label: 'Tasks' },
  { page: 'schedules', href: '#/schedules', label: 'Schedules' },
  { page: 'submit', href: '#/submit', label: 'Submit' },
] as const

export function App(): VNode {
  const route = useRoute()
  const [theme, dark, setTheme] = useTheme()
  const [overview, setOverview] = useState<Overview>()
  const [problem, setProblem] = useState<ApiError>()
  const [live, setLive] = useState<LiveState>('connecting')
  const back = useRef('#/')
  if (route.page === 'tasks') back.current = listHash(route.filter, route.cursor)

  const refresh = (): void => {
    readOverview().then(
      (read) => {
        setServerTime(read.now)
        setOverview(read)
        setProblem(undefined)
      },
      (error: unknown) => setProblem(error as ApiError),
    )
  }
  useEffect(refresh, [])
  useEvery(EVERY, refresh, [])
  useTitle(route, overview?.counts)
  useKeys(back)

  const can = overview?.can ?? []
  const manage = can.includes('manage')
  const pages = PAGES.filter(({ page }) => page !== 'submit' || can.includes('submit'))
  const streams = route.page === 'tasks' || route.page === 'task'
  const refused = problem !== undefined && (problem.status === 401 || problem.status === 403)
  const away = problem !== undefined || (streams && live !== 'open')

  return (
    <>
      <button type="button" class="skip" onClick={() => document.querySelector('h1')?.focus()}>
        Skip to the content
      </button>
      <header class="bar">
        <a class="brand" href="#/" aria-label="background-runner, all tasks">
          <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
            <rect width="32" height="32" rx="8" class="brand-tile" />
            <path d="M9 11h9M9 16h14M9 21h6" class="brand-lines" />
          </svg>
          <span>background-runner</span>
        </a>
        <nav aria-label="Pages of the dashboard">
          {pages.map(({ page, href, label }) => (
            <a
              key={page}
              href={href}
              aria-current={route.page === page || (page === 'tasks' && route.page === 'task') ? 'page' : undefined}
            >
              {label}
            </a>
          ))}
        </nav>
        <span class="live" role="status" data-live={away ? 'connecting' : 'open'}>
          <span class="dot" aria-hidden="true" />
          {away ? (overview === undefined ? 'Connecting…' : 'Reconnecting…') : 'Live'}
        </span>
        <label class="theme">
          <span class="sr">Theme</span>
          <select value={theme} onChange={(event) => setTheme(event.currentTarget.value as Theme)}>
            <option value="system">System</option>
            <option value="light">Light</option>
            <option value="dark">Dark</option>
          </select>
        </label>
        <button type="button" class="quiet keys" onClick={keysDialog} aria-label="Keyboard shortcuts">
          ?
        </button>
      </header>
      <main>
        {refused ? (
          <Refused problem={problem} />
        ) : route.page === 'task' ? (
          <TaskPage key={route.id} id={route.id} manage={manage} back={back.current} onLive={setLive} />
        ) : route.page === 'schedules' ? (
          <SchedulesPage manage={manage} names={overview?.submit ?? []} />
        ) : route.page === 'submit' ? (
          overview !== undefined && <SubmitPage names={overview.submit} />
        ) : (
          <>
            <h1 id="page-title" class="sr" tabIndex={-1}>
              Tasks
            </h1>
            {overview !== undefined && <Standing overview={overview} />}
            <Tiles counts={overview?.counts} route={route} />
            <Charts dark={dark}>
              {overview !== undefined && manage && <PauseButtons overview={overview} refresh={refresh} />}
            </Charts>
            <TaskList
              filter={route.filter}
              cursor={route.cursor}
              counts={overview?.counts}
              manage={manage}
              names={overview?.submit ?? []}
              onLive={setLive}
              onCounts={(counts) => setOverview((old) => (old === undefined ? old : { ...old, counts }))}
              onReset={refresh}
            />
          </>
        )}
      </main>
      <StatusLine />
      <DialogHost />
    </>
  )
}

function Refused({ problem }: { problem: ApiError }): VNode {
  return (
    <>
      <h1 id="page-title" tabIndex={-1}>
        {problem.status === 401 ? 'Please sign in' : 'Not for you'}
      </h1>
      <p>The server says: {problem.message}</p>
      <p>
        <button type="button" onClick={() => location.reload()}>
          Try again
        </button>
      </p>
    </>
  )
}

/** The number of each state, and the filter by it. */
function Tiles({ counts, route }: { counts: Counts | undefined; route: Route & { page: 'tasks' } }): VNode {
  const { filter } = route
  return (
    <nav class="tiles" aria-label="Tasks by state">
      {STATES.map((state) => {
        const on = filter.states.includes(state)
        const states = on ? filter.states.filter((each) => each !== state) : [...filter.states, state]
        return (
          <a
            key={state}
            class="tile"
            data-state={state}
            href={listHash({ ...filter, states })}
            aria-current={on ? 'true' : undefined}
          >
            <span class="tile-name">
              <StateIcon state={state} />
              {state}
            </span>
            <span class="tile-count num" data-count={counts?.[state]}>
              {counts === undefined ? '…' : formatCount(counts[state])}
            </span>
          </a>
        )
      })}
    </nav>
  )
}

/** What keeps more than one task: a pause, names that are held. */
function Standing({ overview: { paused, holds } }: { overview: Overview }): VNode {
  return (
    <div class="standing">
      {paused === true && (
        <Notice tone="warn" title="Paused">
          No attempt starts until it is resumed.
        </Notice>
      )}
      {holds.map(({ name, until, error }) => (
        <Notice key={name} tone="warn" title={`Held: ${visibleText(name, 80)}`}>
          None of them starts; one is tried <Ago at={until} />. <Text>{error.message}</Text>
        </Notice>
      ))}
    </div>
  )
}

/** Both where it is not known whether it is paused, and something waits that might go on. */
function PauseButtons({ overview, refresh }: { overview: Overview; refresh: () => void }): VNode {
  const { counts } = overview
  const paused = overview.paused ?? (counts.queued === 0 ? false : null)
  const ask = (pausing: boolean): void =>
    openDialog({
      title: pausing ? 'Pause everything?' : 'Go on?',
      body: pausing
        ? 'No attempt starts any more, wherever these tasks are worked on. What runs goes on.'
        : 'Tasks that wait start again.',
      confirm: pausing ? 'Pause' : 'Resume',
      danger: pausing,
      act: async () => {
        await pause(pausing)
        refresh()
        say(pausing ? 'Paused.' : 'Resumed.')
      },
    })
  return (
    <span class="pause-buttons">
      {paused !== true && (
        <button type="button" onClick={() => ask(true)}>
          Pause…
        </button>
      )}
      {paused !== false && (
        <button type="button" class={paused === true ? 'primary' : ''} onClick={() => ask(false)}>
          Resume…
        </button>
      )}
    </span>
  )
}

/** Of the tab, and the focus goes where a new page begins. */
function useTitle(route: Route, counts: Counts | undefined): void {
  const { page } = route
  const place = page === 'task' ? route.id : page
  const drawn = useRef(place)
  useEffect(() => {
    if (drawn.current === place) return
    drawn.current = place
    scrollTo(0, 0)
    document.querySelector('h1')?.focus({ preventScroll: true })
  }, [place])
  useEffect(() => {
    const name = { tasks: 'Tasks', task: 'Task', schedules: 'Schedules', submit: 'Submit' }[page]
    const failed = page === 'tasks' && counts !== undefined && counts.failed > 0 ? ` (${counts.failed} failed)` : ''
    document.title = `${name}${failed} · background-runner`
  }, [page, counts?.failed])
}
