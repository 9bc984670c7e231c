/**
 * Whatever a task carries, shown as text and nothing else: no link, no markup, nothing that reorders the page around it,
 * nothing that is too long to draw.
 */
import type { VNode } from 'preact'
import { useMemo, useState } from 'preact/hooks'
import type { SerializedError } from '../../index.js'
import { formatCount } from './format.js'
import { say } from './status.js'
import { CUT_AT, cut, pretty, visible } from './visible.js'

/** A text within a line. */
export function Text({ children: text, most = 300 }: { children: string; most?: number }): VNode {
  const shown = cut(text, most)
  return (
    <bdi>
      <Pieces text={shown} oneLine />
      {shown.length < text.length && '…'}
    </bdi>
  )
}

/** A text with its line breaks, cut where it is long. */
export function Block({ text, label, json = false }: { text: string; label: string; json?: boolean }): VNode {
  const [whole, setWhole] = useState(false)
  const shown = whole ? text : cut(text)
  return (
    <>
      {/* biome-ignore lint/a11y/useSemanticElements: a fieldset is none */}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keyboard */}
      <pre class="block" tabIndex={0} role="group" aria-label={label}>
        {json && shown.length <= CUT_AT ? <JsonPieces text={shown} /> : <Pieces text={shown} />}
        {shown.length < text.length && <span class="muted">…</span>}
      </pre>
      {shown.length < text.length && (
        <button type="button" class="small" onClick={() => setWhole(true)}>
          Show all {formatCount(text.length)} characters
        </button>
      )}
    </>
  )
}

function Pieces({ text, oneLine = false }: { text: string; oneLine?: boolean }): VNode {
  const pieces = useMemo(() => visible(text, oneLine), [text, oneLine])
  return (
    <>
      {pieces.map(({ text: piece, mark }, at) =>
        mark ? (
          <span key={at} class="unseen" title="characters that are not visible">
            {piece}
          </span>
        ) : (
          piece
        ),
      )}
    </>
  )
}

/** JSON that is indented has its keys at the beginnings of lines. */
const KEY = /^( *)("(?:\\.|[^"\\])*")(?=:)/gm

/** Its keys stand out. */
function JsonPieces({ text }: { text: string }): VNode {
  const parts = useMemo(() => text.split(KEY), [text])
  return (
    <>
      {parts.map((part, at) =>
        at % 3 === 2 ? (
          <span key={at} class="key">
            <Pieces text={part} />
          </span>
        ) : (
          <Pieces key={at} text={part} />
        ),
      )}
    </>
  )
}

/** A value under its heading. */
export function Payload({ title, value }: { title: string; value: unknown }): VNode {
  const text = useMemo(() => (typeof value === 'string' ? value : pretty(value)), [value])
  return (
    <section class="card payload" aria-label={title}>
      <header>
        <h2>{title}</h2>
        <span class="muted num">{formatCount(text.length)} characters</span>
        <CopyButton text={text} what={title.toLowerCase()} />
      </header>
      <Block text={text} label={title} json={typeof value !== 'string'} />
    </section>
  )
}

export function CopyButton({ text, what }: { text: string; what: string }): VNode | null {
  // A page that came over plain HTTP from another machine has no clipboard.
  if (navigator.clipboard === undefined) return null
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => say(`Copied the ${what}.`),
      () => say(`The ${what} could not be copied.`, 'bad'),
    )
  }
  return (
    <button type="button" class="small quiet" onClick={copy} aria-label={`Copy the ${what}`}>
      Copy
    </button>
  )
}

/** An error with all that it carries; the stack and what caused it are folded. */
export function ErrorView({ error, level = 0 }: { error: SerializedError; level?: number }): VNode {
  const { name, message, code, stack, cause, details } = error
  return (
    <div class="error-view">
      <p class="error-head">
        <strong>
          <Text>{name}</Text>
        </strong>
        {code !== undefined && (
          <code class="code">
            <Text>{code}</Text>
          </code>
        )}
      </p>
      {message.length > 300 || message.includes('\n') ? (
        <Block text={message} label="Message" />
      ) : (
        <p class="message">
          <Text most={CUT_AT}>{message}</Text>
        </p>
      )}
      {stack !== undefined && (
        <details>
          <summary>Stack</summary>
          <Block text={stack} label="Stack" />
        </details>
      )}
      {details !== undefined && (
        <details>
          <summary>Details</summary>
          <Block text={pretty(details)} label="Details" json />
        </details>
      )}
      {cause !== undefined && level < 10 && (
        <details open={level === 0}>
          <summary>Caused by</summary>
          <ErrorView error={cause} level={level + 1} />
        </details>
      )}
    </div>
  )
}
