/** The server's time, as far as it is known, and a beat once a second for all that shows how long ago something was. */
import { useEffect, useState } from 'preact/hooks'

let offset = 0
const listeners = new Set<() => void>()
let beat: ReturnType<typeof setInterval> | undefined

/** The server said what time it is. */
export function setServerTime(now: number): void {
  offset = now - Date.now()
}

function serverNow(): number {
  return Date.now() + offset
}

/** What `read` makes of the time, looked at every second; drawn again only if it is something else. */
export function useBeat<T extends string | number | undefined>(read: (now: number) => T): T {
  const value = read(serverNow())
  const [, draw] = useState(0)
  useEffect(() => {
    const look = (): void => {
      if (read(serverNow()) !== value) draw((n) => n + 1)
    }
    listeners.add(look)
    beat ??= setInterval(() => {
      if (!document.hidden) for (const listener of listeners) listener()
    }, 1000)
    return () => {
      listeners.delete(look)
      if (listeners.size > 0) return
      clearInterval(beat)
      beat = undefined
    }
  })
  return value
}

/** Calls `act` every so many ms while the tab is looked at, and when it is looked at again. */
export function useEvery(ms: number, act: () => void, inputs: readonly unknown[]): void {
  useEffect(() => {
    let last = Date.now()
    const run = (): void => {
      if (document.hidden || Date.now() - last < ms / 2) return
      last = Date.now()
      act()
    }
    const timer = setInterval(run, ms)
    document.addEventListener('visibilitychange', run)
    return () => {
      clearInterval(timer)
      document.removeEventListener('visibilitychange', run)
    }
  }, [ms, ...inputs])
}
