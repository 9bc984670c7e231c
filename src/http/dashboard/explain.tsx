/** Why a task does not run yet, in words. */
import type { ComponentChildren, VNode } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { Explanation, Reason, TaskRecord } from '../../index.js'
import { explain } from './api.js'
import { useEvery } from './clock.js'
import { plural } from './format.js'
import { taskHash } from './route.js'
import { Text } from './text.js'
import { Ago } from './ui.js'

/** ms */
const EVERY = 5000

/** Nothing where the engine cannot tell. */
export function Why({ record }: { record: TaskRecord }): VNode | null {
  const { id, state, runAt, priority } = record
  const [explanation, setExplanation] = useState<Explanation>()
  const read = (signal?: AbortSignal): void => {
    explain(id, signal).then(setExplanation, () => {})
  }
  useEffect(() => {
    const controller = new AbortController()
    read(controller.signal)
    return () => controller.abort()
  }, [id, state, runAt, priority])
  useEvery(EVERY, read, [id])
  if (explanation === undefined) return null
  const { reasons } = explanation
  return (
    <section class="card why-card" aria-labelledby="why-title">
      <header>
        <h2 id="why-title">Why it does not run yet</h2>
      </header>
      {reasons.length === 0 ? (
        <p>Nothing keeps it: it goes next.</p>
      ) : (
        <ul>
          {reasons.map((reason, at) => (
            <li key={`${reason.type} ${at}`} data-reason={reason.type}>
              <ReasonView reason={reason} />
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function ReasonView({ reason }: { reason: Reason }): VNode {
  switch (reason.type) {
    case 'paused':
      return <>Everything is paused.</>
    case 'scheduled':
      return (
        <>
          Its time has not come: it is due <Ago at={reason.until} />.
        </>
      )
    case 'after':
      return (
        <>
          It comes after {plural(reason.tasks.length, 'task')}: <Ids ids={reason.tasks} />
        </>
      )
    case 'held':
      return (
        <>
          All tasks of its name are held; the next one is tried <Ago at={reason.until} />:{' '}
          <Text>{reason.error.message}</Text>
        </>
      )
    case 'worker':
      return <>No process that works knows its name.</>
    case 'key':
      return (
        <>
          At most {reason.max} with the key{' '}
          <code>
            <Text most={80}>{reason.key}</Text>
          </code>{' '}
          run at a time: <Ids ids={reason.by} />
        </>
      )
    case 'rateLimit':
      return (
        <>
          The rate limit of {reason.max}
          {reason.key !== '' && (
            <>
              {' '}
              for{' '}
              <code>
                <Text most={80}>{reason.key}</Text>
              </code>
            </>
          )}{' '}
          is reached
          {reason.until !== undefined && (
            <>
              ; there is room again <Ago at={reason.until} />
            </>
          )}
          .
        </>
      )
    case 'resource':
      return (
        <>
          It needs {reason.needs} of <Resource name={reason.resource} />, of which {reason.free} is free:{' '}
          <Ids ids={reason.by} />
        </>
      )
    case 'reserved':
      return (
        <>
          <Resource name={reason.resource} /> is kept for a task that comes before it: <Ids ids={[reason.for]} />
        </>
      )
    case 'concurrency':
      return (
        <>
          At most {reason.max} of its name run at a time: <Ids ids={reason.by} />
        </>
      )
    case 'slots':
      return (
        <>
          All {plural(reason.max, 'slot')} of this process {reason.max === 1 ? 'is' : 'are'} taken:{' '}
          <Ids ids={reason.by} />
        </>
      )
    case 'ahead':
      return <>{plural(reason.count, 'task comes', 'tasks come')} before it.</>
    default:
      // A newer server may know more.
      return <>{(reason as { readonly type: string }).type}</>
  }
}

function Resource({ name }: { name: string }): VNode {
  return (
    <code>
      <Text most={80}>{name}</Text>
    </code>
  )
}

function Ids({ ids }: { ids: readonly string[] }): ComponentChildren {
  const shown = ids.slice(0, 8)
  return (
    <span class="ids">
      {shown.map((id) => (
        <a key={id} href={taskHash(id)}>
          <Text most={40}>{id}</Text>
        </a>
      ))}
      {ids.length > shown.length && ` and ${ids.length - shown.length} more`}
    </span>
  )
}
