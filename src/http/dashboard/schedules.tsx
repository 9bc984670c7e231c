/** What is submitted again and again, and when. */
import type { VNode } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import type { ScheduleRecord } from '../../index.js'
import { ApiError, putSchedule, schedules as readSchedules, removeSchedule } from './api.js'
import { useEvery } from './clock.js'
import { openDialog, type Values } from './dialogs.js'
import { formatSpan } from './format.js'
import { taskHash } from './route.js'
import { reasonOf, say } from './status.js'
import { Text } from './text.js'
import { Ago, Notice } from './ui.js'
import { pretty, visibleText } from './visible.js'

/** ms */
const EVERY = 10_000

export function SchedulesPage({ manage, names }: { manage: boolean; names: readonly string[] }): VNode {
  const [schedules, setSchedules] = useState<readonly ScheduleRecord[]>()
  const [problem, setProblem] = useState<string>()
  const read = (signal?: AbortSignal): void => {
    readSchedules(signal).then(
      ({ schedules: all }) => {
        setSchedules(all)
        setProblem(undefined)
      },
      (error: unknown) => {
        if (signal?.aborted) return
        const none = error instanceof ApiError && error.status === 501
        setProblem(none ? 'The engine of this runner keeps no schedules.' : reasonOf(error))
      },
    )
  }
  useEffect(() => {
    const controller = new AbortController()
    read(controller.signal)
    return () => controller.abort()
  }, [])
  useEvery(EVERY, read, [])
  const edit = (schedule?: ScheduleRecord): void => editDialog(schedule, names, read)

  return (
    <section class="schedules" aria-labelledby="page-title">
      <header class="page-head">
        <h1 id="page-title" tabIndex={-1}>
          Schedules
        </h1>
        {manage && schedules !== undefined && (
          <button type="button" class="primary" onClick={() => edit()}>
            New schedule…
          </button>
        )}
      </header>
      {problem !== undefined && (
        <Notice tone="info" title="There is nothing to show">
          {problem}
        </Notice>
      )}
      {schedules !== undefined && (
        <div class="table-frame">
          <table class="cards">
            <caption class="sr">Schedules</caption>
            <thead>
              <tr>
                <th scope="col">Schedule</th>
                <th scope="col">Task</th>
                <th scope="col">When</th>
                <th scope="col">Next</th>
                <th scope="col">Last</th>
                {manage && (
                  <th scope="col">
                    <span class="sr">Actions</span>
                  </th>
                )}
              </tr>
            </thead>
            <tbody>
              {schedules.map((schedule) => (
                <ScheduleRow key={schedule.id} schedule={schedule} manage={manage} edit={edit} read={read} />
              ))}
            </tbody>
          </table>
          {schedules.length === 0 && <p class="empty">No schedules yet.</p>}
        </div>
      )}
    </section>
  )
}

function ScheduleRow({
  schedule,
  manage,
  edit,
  read,
}: {
  schedule: ScheduleRecord
  manage: boolean
  edit: (schedule: ScheduleRecord) => void
  read: () => void
}): VNode {
  const { id, task, cron, every, timezone, overlap, next, last, lastTask } = schedule
  const shown = visibleText(id, 60)
  return (
    <tr data-schedule={id}>
      <th scope="row" data-label="Schedule">
        <Text most={80}>{id}</Text>
      </th>
      <td data-label="Task">
        <Text most={80}>{task}</Text>
      </td>
      <td data-label="When">
        {cron === undefined ? (
          <span class="num">every {formatSpan(every ?? 0)}</span>
        ) : (
          <code>
            <Text most={80}>{cron}</Text>
          </code>
        )}{' '}
        <span class="muted">
          {timezone !== undefined && <Text most={60}>{timezone}</Text>} {overlap === 'queue' && 'may overlap'}
        </span>
      </td>
      <td data-label="Next">
        <Ago at={next} />
      </td>
      <td data-label="Last">
        {last === undefined ? (
          <span class="muted">never</span>
        ) : lastTask === undefined ? (
          <Ago at={last} />
        ) : (
          <a href={taskHash(lastTask)}>
            <Ago at={last} />
          </a>
        )}
      </td>
      {manage && (
        <td>
          <div class="row-buttons">
            <button type="button" class="small" onClick={() => edit(schedule)} aria-label={`Edit ${shown}`}>
              Edit…
            </button>
            <button
              type="button"
              class="small"
              onClick={() => removeDialog(id, shown, read)}
              aria-label={`Remove ${shown}`}
            >
              Remove…
            </button>
          </div>
        </td>
      )}
    </tr>
  )
}

function removeDialog(id: string, shown: string, read: () => void): void {
  openDialog({
    title: `Remove the schedule ${shown}?`,
    body: 'It submits nothing any more. Tasks that it has submitted stay.',
    confirm: 'Remove it',
    danger: true,
    act: async () => {
      await removeSchedule(id)
      read()
      say('The schedule was removed.')
    },
  })
}

function editDialog(schedule: ScheduleRecord | undefined, names: readonly string[], read: () => void): void {
  openDialog({
    title: schedule === undefined ? 'New schedule' : `Edit ${visibleText(schedule.id, 60)}`,
    fields: [
      {
        name: 'id',
        label: 'Id',
        type: 'text',
        value: schedule?.id ?? '',
        required: true,
        readOnly: schedule !== undefined,
      },
      { name: 'task', label: 'Task', type: 'text', value: schedule?.task ?? '', required: true, options: names },
      {
        name: 'cron',
        label: 'Cron pattern',
        type: 'text',
        value: schedule?.cron ?? '',
        hint: 'Such as 0 3 * * 1-5. This, or a span below.',
      },
      {
        name: 'every',
        label: 'Every',
        type: 'text',
        value: schedule?.every === undefined ? '' : String(schedule.every),
        hint: 'Milliseconds, or 30s, 5m, 2h, 1d.',
      },
      {
        name: 'timezone',
        label: 'Time zone',
        type: 'text',
        value: schedule?.timezone ?? '',
        hint: 'In which the pattern is read, such as Europe/Berlin. UTC if empty.',
      },
      {
        name: 'overlap',
        label: 'If the last one has not ended',
        type: 'select',
        value: schedule?.overlap ?? 'skip',
        options: ['skip', 'queue'],
      },
      {
        name: 'input',
        label: 'Input, as JSON',
        type: 'textarea',
        value: schedule?.input === undefined ? '' : pretty(schedule.input),
      },
    ],
    confirm: 'Save',
    act: async (values) => {
      await putSchedule(values['id'] ?? '', specOf(values))
      read()
      say('The schedule was saved.')
    },
  })
}

function specOf({ task, cron = '', every = '', timezone = '', overlap, input = '' }: Values): Record<string, unknown> {
  return {
    task,
    overlap,
    ...(cron.trim() !== '' && { cron: cron.trim() }),
    ...(every.trim() !== '' && { every: /^\d+$/.test(every.trim()) ? Number(every) : every.trim() }),
    ...(timezone.trim() !== '' && { timezone: timezone.trim() }),
    ...(input.trim() !== '' && { input: JSON.parse(input) }),
  }
}
