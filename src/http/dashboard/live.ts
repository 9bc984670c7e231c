/**
 * The server's events, for one page of the dashboard at a time. What arrives is gathered and told once a frame, so that a
 * feed of thousands a second costs no more than one redraw; in a tab that is not looked at, once a second.
 */
import type { Counts, LiveState, News, Summary } from './types.js'

interface Listener {
  readonly news: (news: News) => void
  readonly state: (state: LiveState) => void
}

/** More is no news any more: then all is read again. */
const MOST = 5000
/** Told no more often than this, in ms: what flickers faster is not read. */
const PACE = 200
const FIRST_WAIT = 1000
const LONGEST_WAIT = 20_000

/** Listens until the function that it returns is called. `task`: only to this one, and to the whole of it. */
export function listen(task: string | undefined, { news, state }: Listener): () => void {
  const url = task === undefined ? 'events' : `events?task=${encodeURIComponent(task)}`
  let source: EventSource
  let tasks = new Map<string, Summary>()
  let removed = new Set<string>()
  let counts: Counts | undefined
  let reset = false
  let planned = false
  let stopped = false
  let toldAt = 0
  let wait = FIRST_WAIT
  let timer: ReturnType<typeof setTimeout> | undefined
  let again: ReturnType<typeof setTimeout> | undefined
  let frame = 0

  const tell = (): void => {
    planned = false
    if (stopped) return
    toldAt = performance.now()
    const told = { tasks, removed, counts, reset }
    tasks = new Map()
    removed = new Set()
    counts = undefined
    reset = false
    news(told)
  }
  const plan = (): void => {
    if (planned) return
    planned = true
    const left = document.hidden ? 1000 : toldAt + PACE - performance.now()
    const next = (): void => {
      // No frame comes while the tab is hidden.
      if (document.hidden) tell()
      else frame = requestAnimationFrame(tell)
    }
    if (left <= 0) next()
    else timer = setTimeout(next, left)
  }
  const on = (type: string, take: (data: never) => void): void => {
    source.addEventListener(type, (event) => {
      let data: unknown
      try {
        data = JSON.parse((event as MessageEvent<string>).data)
      } catch {
        data = undefined
      }
      if (typeof data !== 'object' || data === null) return
      take(data as never)
      plan()
    })
  }
  const forget = (): void => {
    tasks.clear()
    removed.clear()
    reset = true
  }
  const connect = (): void => {
    if (stopped) return
    source = new EventSource(url)
    source.addEventListener('open', () => {
      wait = FIRST_WAIT
      state('open')
      // What changed before, while the page was read or the server was away, nobody tells any more. To read once more than
      // needed is cheap.
      forget()
      plan()
    })
    source.addEventListener('error', () => {
      state('connecting')
      if (source.readyState !== EventSource.CLOSED) return
      // It gives up for good after an answer that is no stream, as a proxy gives while the server is away.
      again = setTimeout(connect, wait)
      wait = Math.min(2 * wait, LONGEST_WAIT)
    })
    on('task', (data: Summary) => {
      removed.delete(data.id)
      tasks.set(data.id, data)
      if (tasks.size > MOST) forget()
    })
    on('removed', ({ id }: { readonly id: string }) => {
      tasks.delete(id)
      removed.add(id)
      if (removed.size > MOST) forget()
    })
    on('counts', (data: Counts) => {
      counts = data
    })
    on('reset', forget)
  }
  state('connecting')
  connect()
  return () => {
    stopped = true
    clearTimeout(timer)
    clearTimeout(again)
    cancelAnimationFrame(frame)
    source.close()
  }
}
