/** One task: how it is, what happened to it, what it carries, and what can be done. Live until one leaves. */
import type { ComponentChildren, VNode } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { AttemptRecord, TaskRecord } from '../../index.js'
import { cancelDialog, priorityDialog, removeDialog, retryDialog } from './actions.js'
import { ApiError, previewUrl, task as readTask } from './api.js'
import { Why } from './explain.js'
import { formatCount, formatSpan, plural, progressShare } from './format.js'
import { listen } from './live.js'
import { type Mail, mailOf, type Recipient, recipientsOf } from './mail.js'
import { go, listHash } from './route.js'
import { reasonOf } from './status.js'
import { Block, CopyButton, ErrorView, Payload, Text } from './text.js'
import type { LiveState } from './types.js'
import { Ago, Notice, Progress, StateBadge, Took } from './ui.js'

export interface TaskPageProps {
  readonly id: string
  readonly manage: boolean
  /** The list that one came from. */
  readonly back: string
  readonly onLive: (state: LiveState) => void
}

export function TaskPage({ id, manage, back, onLive }: TaskPageProps): VNode {
  const [record, setRecord] = useState<TaskRecord>()
  const [problem, setProblem] = useState<string>()
  const [removed, setRemoved] = useState(false)
  const [asked, setAsked] = useState(0)
  const again = (): void => setAsked((n) => n + 1)
  /** How often something was told of it. What was asked for before that may be older, and later changes will be told. */
  const told = useRef(0)
  const setUnlessTold = (since: number, read: TaskRecord): void =>
    setRecord((old) => (old === undefined || told.current === since ? read : old))

  useEffect(() => {
    const controller = new AbortController()
    const since = told.current
    readTask(id, controller.signal).then(
      (read) => {
        setUnlessTold(since, read)
        setProblem(undefined)
        setRemoved(false)
      },
      (error: unknown) => {
        if (controller.signal.aborted) return
        if (error instanceof ApiError && error.status === 404) setRemoved(true)
        else setProblem(reasonOf(error))
      },
    )
    return () => controller.abort()
  }, [id, asked])

  useEffect(
    () =>
      listen(id, {
        state: onLive,
        news: ({ tasks, removed: gone, reset }) => {
          const news = tasks.get(id)
          // A summary would leave the page without its input; what has attempts is the whole record.
          if (news?.attempts !== undefined) {
            told.current++
            setRecord(news as unknown as TaskRecord)
          } else if (news !== undefined || reset) again()
          if (gone.has(id)) setRemoved(true)
        },
      }),
    [id],
  )

  return (
    <article class="task" aria-labelledby="page-title" data-state={record?.state}>
      <p class="back">
        <a href={back}>← Tasks</a>
      </p>
      <header class="task-head">
        <h1 id="page-title" tabIndex={-1}>
          {record === undefined ? 'Task' : <Text most={120}>{record.name}</Text>}
        </h1>
        {record !== undefined && <StateBadge state={record.state} />}
        <span class="task-id">
          <code>
            <Text most={200}>{id}</Text>
          </code>
          <CopyButton text={id} what="id" />
        </span>
        {record !== undefined && manage && !removed && (
          <Actions
            record={record}
            takes={() => {
              const since = told.current
              return (read) => setUnlessTold(since, read)
            }}
            back={back}
          />
        )}
      </header>
      {removed && (
        <Notice tone="warn" title={record === undefined ? 'There is no such task' : 'This task was removed'}>
          {record === undefined
            ? 'It was never submitted here, or it has ended long ago and was forgotten.'
            : 'What is shown is the last that was known of it.'}
        </Notice>
      )}
      {problem !== undefined && (
        <Notice
          tone="bad"
          title="The task could not be read"
          action={
            <button type="button" onClick={again}>
              Try again
            </button>
          }
        >
          {problem}
        </Notice>
      )}
      {record === undefined ? (
        !removed && problem === undefined && <p class="empty">Reading…</p>
      ) : (
        <TaskView record={record} />
      )}
    </article>
  )
}

function Actions({
  record,
  takes,
  back,
}: {
  record: TaskRecord
  /** What takes the answer to something that begins now. */
  takes: () => (record: TaskRecord) => void
  back: string
}): VNode {
  const { state } = record
  const waits = state === 'queued' || state === 'scheduled'
  const revivable = state === 'failed' || state === 'cancelled'
  const ended = revivable || state === 'succeeded'
  return (
    <fieldset class="task-actions" aria-label="Actions">
      {revivable && (
        <button type="button" class="primary" onClick={() => retryDialog(record, takes())}>
          Retry…
        </button>
      )}
      {waits && (
        <button type="button" onClick={() => priorityDialog(record, takes())}>
          Priority…
        </button>
      )}
      {(waits || state === 'running') && (
        <button type="button" class="danger" onClick={() => cancelDialog(record, takes())}>
          Cancel…
        </button>
      )}
      {ended && (
        <button
          type="button"
          onClick={() => removeDialog(record, () => go(back || listHash({ states: [], names: [], tags: [] })))}
        >
          Remove…
        </button>
      )}
    </fieldset>
  )
}

function TaskView({ record }: { record: TaskRecord }): VNode {
  const { id, name, state, error, outputError, input, output, metadata, progress } = record
  const recipients = recipientsOf(record)
  const mail = mailOf(input)
  return (
    <>
      <Facts record={record} />
      {progress !== undefined && progressShare(progress) === undefined && <Payload title="Progress" value={progress} />}
      {progress !== undefined && progressShare(progress) !== undefined && (
        <section class="card" aria-label="Progress">
          <header>
            <h2>Progress</h2>
          </header>
          <Progress value={progress} label={`Progress of ${name}`} />
        </section>
      )}
      {(state === 'queued' || state === 'scheduled') && <Why record={record} />}
      {error !== undefined && (
        <section class="card" data-tone={state === 'failed' ? 'bad' : 'warn'} aria-label="Error">
          <header>
            <h2>
              {state === 'failed' ? 'Why it failed' : state === 'cancelled' ? 'Why it was cancelled' : 'The last error'}
            </h2>
          </header>
          <ErrorView error={error} />
        </section>
      )}
      {recipients !== undefined && <Delivery recipients={recipients} />}
      <div class="task-columns">
        <Timeline record={record} />
        <div class="task-payloads">
          {mail !== undefined && <MailView id={id} mail={mail} />}
          {input !== undefined && <Payload title="Input" value={input} />}
          {output !== undefined && <Payload title="Output" value={output} />}
          {outputError !== undefined && (
            <section class="card" data-tone="warn" aria-label="Output">
              <header>
                <h2>Its output was not kept</h2>
              </header>
              <ErrorView error={outputError} />
            </section>
          )}
          {metadata !== undefined && <Payload title="Metadata" value={metadata} />}
        </div>
      </div>
    </>
  )
}

function Facts({ record }: { record: TaskRecord }): VNode {
  const { state, attempt, maxAttempts, priority, key, tags, createdAt, runAt, startedAt, finishedAt } = record
  const waited = startedAt !== undefined && startedAt >= runAt ? formatSpan(startedAt - runAt) : undefined
  return (
    <dl class="facts card">
      <Fact name="Submitted">
        <Ago at={createdAt} />
      </Fact>
      {state === 'scheduled' && (
        <Fact name="Due">
          <Ago at={runAt} />
        </Fact>
      )}
      {startedAt !== undefined && (
        <Fact name="Started">
          <Ago at={startedAt} />
        </Fact>
      )}
      {finishedAt !== undefined && (
        <Fact name="Ended">
          <Ago at={finishedAt} />
        </Fact>
      )}
      {waited !== undefined && (
        <Fact name="Waited">
          <span class="num">{waited}</span>
        </Fact>
      )}
      {startedAt !== undefined && (state === 'running' || finishedAt !== undefined) && (
        <Fact name={state === 'running' ? 'Running for' : 'Took'}>
          <Took from={startedAt} to={finishedAt} />
        </Fact>
      )}
      <Fact name="Attempt">
        <span class="num">
          {formatCount(attempt)} of {formatCount(maxAttempts)}
        </span>
      </Fact>
      <Fact name="Priority">
        <span class="num">{priority}</span>
      </Fact>
      {key !== undefined && (
        <Fact name="Key">
          <code>
            <Text most={120}>{key}</Text>
          </code>
        </Fact>
      )}
      {tags !== undefined && tags.length > 0 && (
        <Fact name="Tags">
          <span class="tags">
            {tags.map((tag, at) => (
              <a key={at} class="tag" href={listHash({ states: [], names: [], tags: [tag] })}>
                <Text most={60}>{tag}</Text>
              </a>
            ))}
          </span>
        </Fact>
      )}
    </dl>
  )
}

function Fact({ name, children }: { name: string; children: ComponentChildren }): VNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  )
}

function Delivery({ recipients }: { recipients: readonly Recipient[] }): VNode {
  const [whole, setWhole] = useState(false)
  const sent = recipients.filter(({ status }) => status === 'sent').length
  const shown = whole ? recipients : recipients.slice(0, 100)
  return (
    <section class="card delivery" aria-labelledby="delivery-title">
      <header>
        <h2 id="delivery-title">Recipients</h2>
        <span class="muted num">
          sent to {formatCount(sent)} of {formatCount(recipients.length)}
        </span>
      </header>
      <table class="recipients">
        <thead>
          <tr>
            <th scope="col">Address</th>
            <th scope="col">Outcome</th>
            <th scope="col">Code</th>
            <th scope="col">What the server said</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ address, status, code, response }) => (
            <tr key={address} data-outcome={status}>
              <th scope="row">
                <Text>{address}</Text>
              </th>
              <td>
                <span class="badge" data-outcome={status}>
                  <span aria-hidden="true">{OUTCOME_MARKS[status] ?? '?'}</span>
                  <Text most={30}>{status}</Text>
                </span>
              </td>
              <td class="num">
                <Text most={60}>{code}</Text>
              </td>
              <td>
                <Text most={500}>{response}</Text>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length < recipients.length && (
        <button type="button" class="small" onClick={() => setWhole(true)}>
          Show all {plural(recipients.length, 'recipient')}
        </button>
      )}
    </section>
  )
}

const OUTCOME_MARKS: Readonly<Record<string, string>> = {
  sent: '✓',
  rejected: '✕',
  failed: '↻',
  unknown: '?',
  dropped: '–',
}

function MailView({ id, mail }: { id: string; mail: Mail }): VNode {
  const { headers, text, html } = mail
  const [shown, setShown] = useState<'text' | 'html'>(text === undefined && html ? 'html' : 'text')
  return (
    <section class="card mail" aria-labelledby="mail-title">
      <header>
        <h2 id="mail-title">Mail</h2>
        {text !== undefined && html && (
          <fieldset class="segments" aria-label="Part of the mail">
            {(['text', 'html'] as const).map((part) => (
              <button key={part} type="button" aria-pressed={part === shown} onClick={() => setShown(part)}>
                {part === 'text' ? 'Text' : 'HTML'}
              </button>
            ))}
          </fieldset>
        )}
      </header>
      <dl class="mail-headers">
        {headers.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              <Text most={1000}>{value}</Text>
            </dd>
          </div>
        ))}
      </dl>
      {shown === 'html' ? (
        <>
          <iframe class="preview" sandbox="" src={previewUrl(id)} title="The mail's HTML part" loading="lazy" />
          <p class="muted">Shown without scripts, and nothing is loaded from elsewhere.</p>
        </>
      ) : text === undefined ? (
        <p class="muted">It has no text.</p>
      ) : (
        <Block text={text} label="The mail's text part" />
      )}
    </section>
  )
}

const OUTCOMES: Readonly<Record<NonNullable<AttemptRecord['outcome']>, string>> = {
  succeeded: 'succeeded',
  retry: 'failed, to be tried again',
  failed: 'failed',
  cancelled: 'was cancelled',
  released: 'was given back',
  crashed: 'died with its process',
}

function Timeline({ record }: { record: TaskRecord }): VNode {
  const { state, createdAt, runAt, finishedAt, cancelRequestedAt, attempts } = record
  const lastEnd = attempts.at(-1)?.finishedAt
  return (
    <section class="card timeline-card" aria-labelledby="timeline-title">
      <header>
        <h2 id="timeline-title">Timeline</h2>
      </header>
      <ol class="timeline">
        <li data-outcome="event">
          <p>
            <strong>Submitted</strong> <Ago at={createdAt} />
          </p>
        </li>
        {attempts.map((attempt, at) => (
          <AttemptView key={attempt.number} attempt={attempt} before={attempts[at - 1]} current={state === 'running'} />
        ))}
        {cancelRequestedAt !== undefined && (
          <li data-outcome="cancelled">
            <p>
              <strong>Cancellation was asked for</strong> <Ago at={cancelRequestedAt} />
            </p>
          </li>
        )}
        {state === 'scheduled' && (
          <li data-outcome="waiting">
            <p>
              <strong>{attempts.length === 0 ? 'Due' : 'Next attempt'}</strong> <Ago at={runAt} />
            </p>
          </li>
        )}
        {state === 'queued' && (
          <li data-outcome="waiting">
            <p>
              <strong>Waits for its turn</strong>
            </p>
          </li>
        )}
        {finishedAt !== undefined && finishedAt !== lastEnd && (
          <li data-outcome={state}>
            <p>
              <strong>{state === 'cancelled' ? 'Cancelled' : 'Ended'}</strong> <Ago at={finishedAt} />
            </p>
          </li>
        )}
      </ol>
    </section>
  )
}

function AttemptView({
  attempt,
  before,
  current,
}: {
  attempt: AttemptRecord
  before: AttemptRecord | undefined
  current: boolean
}): VNode {
  const { number, startedAt, finishedAt, outcome, timedOut, error } = attempt
  const left = before === undefined ? 0 : number - before.number - 1
  const runs = outcome === undefined && current
  return (
    <>
      {left > 0 && (
        <li data-outcome="event">
          <p class="muted">{plural(left, 'attempt')} more, of which nothing was kept</p>
        </li>
      )}
      <li data-outcome={outcome ?? 'running'} data-attempt={number}>
        <p>
          <strong>
            Attempt {number} {outcome === undefined ? (runs ? 'is running' : '') : OUTCOMES[outcome]}
          </strong>{' '}
          <Ago at={startedAt} />
        </p>
        <p class="muted">
          {runs ? 'for ' : 'took '}
          {runs || finishedAt !== undefined ? <Took from={startedAt} to={finishedAt} /> : '–'}
          {timedOut === true && ', timed out'}
          {before?.finishedAt !== undefined && `, ${formatSpan(startedAt - before.finishedAt)} after the one before`}
        </p>
        {error !== undefined && (
          <details>
            <summary>
              <Text most={140}>{error.message || error.name}</Text>
            </summary>
            <ErrorView error={error} />
          </details>
        )}
      </li>
    </>
  )
}
