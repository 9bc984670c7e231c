/** What ended in the last minutes or hours: how many, how many of them failed, how long they waited and ran. */
import type { ComponentChildren, VNode } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import { stats as readStats } from './api.js'
import { useEvery } from './clock.js'
import { formatClock, formatCount, formatRate, formatShare, formatShort, formatSpan, plural } from './format.js'
import type { Point, Range, Stats } from './types.js'
import { Ago } from './ui.js'

const RANGES: readonly { readonly range: Range; readonly label: string; readonly every: number }[] = [
  { range: 'minutes', label: '5 min', every: 5000 },
  { range: 'hour', label: '1 h', every: 15_000 },
  { range: 'day', label: '24 h', every: 60_000 },
]
const SPAN: Readonly<Record<Range, string>> = {
  minutes: 'the last 5 minutes',
  hour: 'the last hour',
  day: 'the last 24 hours',
}

interface Line {
  readonly label: string
  /** The name of a colour in style.css. */
  readonly colour: string
  readonly look: 'bars' | 'line' | 'dashes' | 'area'
  readonly read: (point: Point) => number | null
  /** What is drawn, where it is not what is told: bars stand on each other. */
  readonly draw?: (point: Point) => number | null
}

interface Chart {
  readonly title: string
  readonly lines: readonly Line[]
  readonly format: (value: number) => string
  /** The upper end of its axis, at least. */
  readonly least: number
  readonly headline: (stats: Stats) => string
  readonly summary: (stats: Stats) => string
}

const sum = (points: readonly Point[], key: 'succeeded' | 'failed' | 'cancelled'): number =>
  points.reduce((all, point) => all + point[key], 0)
const ended = ({ succeeded, failed, cancelled }: Point): number => succeeded + failed + cancelled
/** The latest that there is. */
const latest = (points: readonly Point[], key: 'wait' | 'run') => points.findLast((point) => point[key] !== null)?.[key]
const failures = (points: readonly Point[]): number | null => {
  const failed = sum(points, 'failed')
  const all = failed + sum(points, 'succeeded')
  return all === 0 ? null : failed / all
}

const CHARTS: readonly Chart[] = [
  {
    title: 'Throughput',
    lines: [
      // The tallest first: the others stand before it.
      { label: 'cancelled', colour: 'cancelled', look: 'bars', read: (p) => p.cancelled, draw: ended },
      { label: 'failed', colour: 'failed', look: 'bars', read: (p) => p.failed, draw: (p) => p.succeeded + p.failed },
      { label: 'succeeded', colour: 'succeeded', look: 'bars', read: (p) => p.succeeded },
    ],
    format: formatShort,
    least: 4,
    headline: ({ points, interval }) => {
      // The last one is still being filled.
      const recent = points.slice(-4, -1)
      return `${formatRate(recent.reduce((all, point) => all + ended(point), 0) / ((recent.length * interval) / 1000))} /s`
    },
    summary: ({ points, range }) =>
      `${formatCount(sum(points, 'succeeded'))} succeeded, ${formatCount(sum(points, 'failed'))} failed, ${formatCount(sum(points, 'cancelled'))} cancelled in ${SPAN[range]}`,
  },
  {
    title: 'Failures',
    lines: [{ label: 'failed', colour: 'failed', look: 'area', read: (p) => failures([p]) }],
    format: formatShare,
    least: 0.04,
    headline: ({ points }) => {
      const share = failures(points)
      return share === null ? '–' : formatShare(share)
    },
    summary: ({ points, range }) => `${plural(sum(points, 'failed'), 'task')} failed in ${SPAN[range]}`,
  },
  {
    title: 'Latency',
    lines: [
      { label: 'wait p95', colour: 'scheduled', look: 'dashes', read: (p) => p.wait?.p95 ?? null },
      { label: 'wait p50', colour: 'scheduled', look: 'line', read: (p) => p.wait?.p50 ?? null },
      { label: 'run p95', colour: 'running', look: 'dashes', read: (p) => p.run?.p95 ?? null },
      { label: 'run p50', colour: 'running', look: 'line', read: (p) => p.run?.p50 ?? null },
    ],
    format: (ms) => formatSpan(ms),
    least: 10,
    headline: ({ points }) => {
      const run = latest(points, 'run')
      return run == null ? '–' : formatSpan(run.p50)
    },
    summary: ({ points, range }) => {
      const [wait, run] = [latest(points, 'wait'), latest(points, 'run')]
      if (wait == null || run == null) return `Nothing ended in ${SPAN[range]}`
      return `Of those that ended last, half waited at most ${formatSpan(wait.p50)} and ran at most ${formatSpan(run.p50)}`
    },
  },
]

export function Charts({ dark, children }: { dark: boolean; children?: ComponentChildren }): VNode {
  const [range, setRange] = useState<Range>('hour')
  const [stats, setStats] = useState<Stats>()
  const wanted = useRef(range)
  wanted.current = range
  const read = (signal?: AbortSignal): void => {
    // One that does not arrive is made up for by the next; one of another span comes too late.
    readStats(range, signal).then(
      (read) => wanted.current === range && setStats(read),
      () => {},
    )
  }
  useEffect(() => {
    const controller = new AbortController()
    read(controller.signal)
    return () => controller.abort()
  }, [range])
  useEvery(RANGES.find((each) => each.range === range)?.every ?? 15_000, read, [range])

  return (
    <section class="charts" aria-labelledby="charts-title">
      <header class="charts-head">
        <h2 id="charts-title">Activity</h2>
        <fieldset class="segments" aria-label="Time span">
          {RANGES.map(({ range: each, label }) => (
            <button key={each} type="button" aria-pressed={each === range} onClick={() => setRange(each)}>
              {label}
            </button>
          ))}
        </fieldset>
        {stats !== undefined && (
          <span class="muted charts-note">
            {(stats.since ?? 0) > (stats.points[0]?.at ?? 0) && (
              <>
                counted since <Ago at={stats.since ?? 0} />
              </>
            )}
            {stats.sampled && ', from a sample'}
          </span>
        )}
        {children}
      </header>
      <div class="charts-grid">
        {CHARTS.map((chart) => (
          <ChartView key={chart.title} chart={chart} stats={stats} dark={dark} />
        ))}
      </div>
    </section>
  )
}

function ChartView({ chart, stats, dark }: { chart: Chart; stats: Stats | undefined; dark: boolean }): VNode {
  const { title, lines, format, headline, summary } = chart
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(undefined)
  const [index, setIndex] = useState<number | null>(null)
  const range = stats?.range
  const interval = stats?.interval ?? 60_000

  useEffect(() => {
    const element = place.current
    if (element === null || stats === undefined) return
    const made = new uPlot(optionsOf(chart, element, interval, setIndex), dataOf(chart, stats), element)
    plot.current = made
    const observer = new ResizeObserver(() => {
      if (element.clientWidth > 0) made.setSize({ width: element.clientWidth, height: element.clientHeight })
    })
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
      plot.current = undefined
    }
    // The colours are those of the theme at the time when it was made.
  }, [range, dark])

  useEffect(() => {
    if (stats !== undefined) plot.current?.setData(dataOf(chart, stats))
  }, [stats])

  const step = (event: KeyboardEvent): void => {
    const by = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : 0
    const count = stats?.points.length ?? 0
    if (by === 0 || count === 0) return
    event.preventDefault()
    const next = Math.min(count - 1, Math.max(0, (index ?? count - (by < 0 ? 0 : 1)) + by))
    const left = plot.current?.valToPos((stats?.points[next]?.at ?? 0) / 1000, 'x') ?? -10
    plot.current?.setCursor({ left, top: 0 })
  }
  const point = index === null ? undefined : stats?.points[index]
  return (
    <figure class="card chart" aria-label={title}>
      <figcaption>
        <h3>{title}</h3>
        <span class="headline num">{stats === undefined ? '…' : headline(stats)}</span>
      </figcaption>
      <div
        class="plot"
        ref={place}
        role="img"
        aria-label={stats === undefined ? title : `${title}: ${summary(stats)}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys read it point by point
        tabIndex={0}
        onKeyDown={step}
        onBlur={() => setIndex(null)}
      />
      <div class="legend" aria-hidden="true">
        {[...lines].reverse().map((line) => {
          const value = point === undefined ? null : line.read(point)
          return (
            <span key={line.label} class="legend-entry" data-colour={line.colour} data-look={line.look}>
              {line.label}
              {value !== null && <b class="num">{format(value)}</b>}
            </span>
          )
        })}
        {point !== undefined && <span class="legend-time num">{formatClock(point.at, interval < 60_000)}</span>}
      </div>
    </figure>
  )
}

function dataOf({ lines }: Chart, { points }: Stats): uPlot.AlignedData {
  return [points.map(({ at }) => at / 1000), ...lines.map(({ read, draw = read }) => points.map(draw))]
}

function optionsOf(
  { lines, format, least }: Chart,
  element: HTMLElement,
  interval: number,
  onIndex: (index: number | null) => void,
): uPlot.Options {
  const style = getComputedStyle(element)
  const colour = (name: string): string => resolved(element, `var(--${name})`)
  const [grid, text] = [colour('line'), colour('muted')]
  const font = `11px ${style.fontFamily}`
  const bars = uPlot.paths.bars?.({ size: [0.72, 24], radius: 0.12 })
  const axis = { stroke: text, font, ticks: { show: false }, grid: { stroke: grid, width: 1 } }
  return {
    width: element.clientWidth,
    height: element.clientHeight,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: {
      x: {
        time: true,
        ...(lines[0]?.look === 'bars' && { range: (_, min, max) => [min - interval / 2000, max + interval / 2000] }),
      },
      y: { range: (_, __, max) => [0, Math.max(least, (max ?? 0) * 1.1)] },
    },
    axes: [
      {
        ...axis,
        size: 28,
        gap: 8,
        space: 64,
        grid: { show: false },
        values: (_, at) => at.map((each) => formatClock(each * 1000, interval < 60_000 && each % 60 !== 0)),
      },
      { ...axis, size: 52, gap: 6, space: 32, values: (_, values) => values.map((each) => format(each)) },
    ],
    series: [
      {},
      ...lines.map(({ colour: name, look }): uPlot.Series => {
        const stroke = colour(look === 'bars' ? `${name}-bar` : name)
        if (look === 'bars')
          return { fill: stroke, stroke, width: 0, points: { show: false }, ...(bars && { paths: bars }) }
        return {
          stroke,
          width: 1.75,
          spanGaps: true,
          points: { show: false },
          ...(look === 'dashes' && { dash: [4, 4], width: 1.25 }),
          ...(look === 'area' && { fill: colour('failed-soft') }),
        }
      }),
    ],
    hooks: { setCursor: [(self) => onIndex(self.cursor.idx ?? null)] },
  }
}

/** A canvas does not know the style sheet's variables. */
function resolved(element: HTMLElement, value: string): string {
  const probe = document.createElement('i')
  probe.style.color = value
  element.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}
