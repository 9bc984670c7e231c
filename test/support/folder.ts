import { mkdtempSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** In memory on Linux. */
const IN_MEMORY = '/dev/shm'
/** Bytes that have to be free there. */
const ROOM = 1 << 30

/**
 * A folder for hundreds of files, each of which is opened and closed: in memory where there is room, since some ten times
 * for each of them SQLite would wait for the disk, which may be slow on a test machine. It is no less a file: what comes of
 * kills, faults and full disks is tried on the disk.
 */
export function folderForMany(): string {
  return mkdtempSync(join(hasRoom() ? IN_MEMORY : tmpdir(), 'background-runner-'))
}

function hasRoom(): boolean {
  try {
    const { bavail, bsize } = statfsSync(IN_MEMORY)
    return bavail * bsize >= ROOM
  } catch {
    return false
  }
}
