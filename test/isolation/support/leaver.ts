/** A program with a runner that does some deeds and leaves in one way or another. Its settings are its argument, as JSON. */
import { readFileSync } from 'node:fs'
import { sqlite } from 'background-runner/sqlite'
import { Deeds, type Place } from './deeds.js'

export interface LeaverSettings {
  readonly place: Place
  /** Done before it leaves. */
  readonly done?: readonly string[]
  /** Begun, and running when it leaves. */
  readonly begun?: readonly string[]
  /** `at once`: it is killed when its first child is there, which has not heard of its errand then. */
  readonly leave: 'by itself' | 'close' | 'exit' | 'throw' | 'not' | 'at once'
  /** Characters that it writes to its own output at first. */
  readonly fill?: number
  /** Of a database; without: on memory. */
  readonly path?: string
}

const settings = JSON.parse(process.argv[2] ?? '') as LeaverSettings
const { place, done = [], begun = [], leave, path, fill = 0 } = settings
const tell = (type: string, more: object): unknown => process.send?.({ type, ...more })

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))
const resources = (): string => process.getActiveResourcesInfo().sort().join()

for (const stream of [process.stdout, process.stderr]) stream.write(`${'.'.repeat(fill)}\n`)
await turn()
const before = resources()
const options = path === undefined ? {} : { engine: sqlite({ path }) }
const deeds = new Deeds({ place, concurrency: 4, options: options as never })
process.once('SIGINT', async () => tell('report', { report: await deeds.runner.close({ deadline: 0 }) }))

for (const deed of done) {
  const record = await deeds.done(deed, deed)
  tell('done', { deed, output: record.output, state: record.state })
}
for (const deed of begun) {
  const { handle, place: worker } = await deeds.begun(deed)
  tell('begun', { deed, worker, id: handle.id })
}
switch (leave) {
  case 'close': {
    tell('report', { report: await deeds.runner.close({ deadline: 0 }) })
    let turns = 0 // in which handles that are closed are let go of
    while (resources() !== before && turns < 10) {
      turns++
      await turn()
    }
    tell('resources', { before, after: resources(), turns })
    break
  }
  case 'at once': {
    void deeds.submit('spin')
    const children = (): string => readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8').trim()
    while (children() === '') await turn()
    await new Promise((resolve) => process.send?.({ type: 'begun', worker: Number(children()) }, resolve))
    process.kill(process.pid, 'SIGKILL')
    break
  }
  case 'exit':
    process.exit(3)
    break
  case 'throw':
    setTimeout(() => {
      throw new Error('the program is broken')
    })
}
tell('ready', {})
