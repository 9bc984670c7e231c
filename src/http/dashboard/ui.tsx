/** The small parts that every page is made of. */
import type { ComponentChildren, VNode } from 'preact'
import type { Json, TaskState } from '../../index.js'
import { useBeat } from './clock.js'
import { formatAgo, formatSpan, formatTime, isoTime, progressShare } from './format.js'
import { Text } from './text.js'
import { pretty } from './visible.js'

/** One shape each, so that no state is told by its colour alone. */
const SHAPES: Readonly<Record<TaskState, VNode>> = {
  queued: <circle cx="6" cy="6" r="4" fill="none" stroke="currentColor" stroke-width="2" stroke-dasharray="2.1 2.1" />,
  scheduled: (
    <path
      d="M6 3v3l2 1.5M6 1.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9Z"
      fill="none"
      stroke="currentColor"
      stroke-width="1.6"
    />
  ),
  running: <path d="M3 1.8v8.4L10.2 6Z" fill="currentColor" />,
  succeeded: <path d="m1.8 6.4 2.8 2.8 5.6-6.2" fill="none" stroke="currentColor" stroke-width="2" />,
  failed: <path d="m2.2 2.2 7.6 7.6m0-7.6-7.6 7.6" fill="none" stroke="currentColor" stroke-width="2" />,
  cancelled: <path d="M2 6h8" fill="none" stroke="currentColor" stroke-width="2.4" />,
}

export function StateIcon({ state }: { state: TaskState }): VNode {
  return (
    <svg class="state-icon" viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
      {SHAPES[state]}
    </svg>
  )
}

export function StateBadge({ state }: { state: TaskState }): VNode {
  return (
    <span class="badge" data-state={state}>
      <StateIcon state={state} />
      {state}
    </span>
  )
}

/** How long ago, or until then. */
export function Ago({ at }: { at: number }): VNode {
  const text = useBeat((now) => formatAgo(at, now))
  return (
    <time dateTime={isoTime(at) ?? ''} title={formatTime(at)}>
      {text}
    </time>
  )
}

/** How long it took, or takes by now. */
export function Took({ from, to }: { from: number; to: number | undefined }): VNode {
  const text = useBeat((now) => formatSpan((to ?? now) - from))
  return <span class="num">{text}</span>
}

/** What the handler reports, as a bar where it can be one. */
export function Progress({ value, label }: { value: Json; label: string }): VNode {
  const share = progressShare(value)
  if (share === undefined) return <Text most={80}>{typeof value === 'string' ? value : pretty(value)}</Text>
  return (
    <span class="progress">
      <progress max={1} value={share} aria-label={label} />
      <span class="num">{Math.floor(100 * share)}%</span>
    </span>
  )
}

/** Something that one should know, above all else. */
export function Notice({
  tone,
  title,
  children,
  action,
}: {
  tone: 'bad' | 'warn' | 'info'
  title: string
  children?: ComponentChildren
  action?: ComponentChildren
}): VNode {
  return (
    <div class="notice" data-tone={tone} role={tone === 'bad' ? 'alert' : 'note'}>
      <div>
        <strong>{title}</strong>
        {children !== undefined && <div class="notice-body">{children}</div>}
      </div>
      {action}
    </div>
  )
}
