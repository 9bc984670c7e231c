/**
 * Which process this is, and whether another one is still there: read from /proc, where there is one.
 *
 * A pid alone says little: it is used again, it means another process in another container, and after a reboot. With the
 * boot, the pid namespace and the start time beside it, it says all. Elsewhere than on Linux nothing is known, and the
 * lease decides.
 */
import { readFileSync, readlinkSync } from 'node:fs'

export interface ProcessIdentity {
  /** Boot and pid namespace; null where they are not to be had. */
  readonly boot: string | null
  readonly pid: number
  /** In ticks since the boot. */
  readonly started: string | null
}

/** @see proc(5), /proc/pid/stat: the third field is the state, the 22nd the start time */
function statOf(pid: number): { readonly state: string; readonly started: string } | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field, the name of the program in parentheses, may hold anything, parentheses too.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const state = fields[0]
  const started = fields[19]
  return state === undefined || started === undefined ? undefined : { state, started }
}

function readBoot(): string | null {
  try {
    // In a pid namespace whose /proc is that of another, pids mean other processes there.
    if (readlinkSync('/proc/self') !== String(process.pid)) return null
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return `${boot} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    return null
  }
}

export function thisProcess(): ProcessIdentity {
  const { pid } = process
  try {
    return { boot: readBoot(), pid, started: statOf(pid)?.started ?? null }
  } catch {
    return { boot: null, pid, started: null }
  }
}

/** Whether that process still is: undefined where that is not to be known from here. */
export function isAlive(other: ProcessIdentity, here: ProcessIdentity): boolean | undefined {
  if (here.boot === null || other.boot !== here.boot || other.started === null) return undefined
  try {
    const found = statOf(other.pid)
    if (found === undefined) return undefined
    // A zombie keeps its pid and its start time until it is reaped.
    return found.started === other.started && found.state !== 'Z' && found.state !== 'X'
  } catch (error) {
    // ESRCH: it went while its file was being read.
    const { code } = error as NodeJS.ErrnoException
    return code === 'ENOENT' || code === 'ESRCH' ? false : undefined
  }
}
