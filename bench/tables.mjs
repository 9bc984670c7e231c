/** The tables of a group, as Markdown: what each case costs, and how that compares with the targets. */

/** @param machine what was measured on, by name @param workloads of one group, as results.json has them */
export function tables({ machine, workloads }) {
  return [environment(machine), costTable(workloads), targetTable(workloads)].join('\n\n')
}

function environment(machine) {
  const parts = Object.entries(machine).map(([name, value]) => `${name} ${value}`)
  return `${parts.join(' · ')} · median of the rounds (least–most)`
}

function costTable(workloads) {
  const lines = ['| workload | case | CPU | wall | unit | rounds | kept |', '|---|---|---|---|---|---|---|']
  for (const { title, unit, cases } of workloads)
    for (const { name, on, durability = '–', rounds, retries, cpu, wall, value, most } of cases) {
      const named = on === undefined ? name : `${name} (${on})`
      const longest = most === undefined ? '' : `, longest ${digits(most.most)}`
      const figures = `${spread(cpu, rounds)} | ${spread(wall ?? value, rounds)}${longest}`
      const times = retries === 0 ? rounds : `${rounds}, ${retries} repeated`
      lines.push(`| ${title} | ${named} | ${figures} | ${unit} | ${times} | ${durability} |`)
    }
  return lines.join('\n')
}

function targetTable(workloads) {
  const lines = ['| workload | | by CPU | by wall | target | met |', '|---|---|---|---|---|---|']
  for (const { title, unit, targets } of workloads)
    for (const { say, cpu, wall, value, atLeast, atMost, met } of targets) {
      const [show, by] = value === undefined ? [ratio, '×'] : [digits, ` ${unit}`]
      const target = atLeast !== undefined ? `≥ ${atLeast}${by}` : atMost !== undefined ? `≤ ${atMost}${by}` : '–'
      const figures = value === undefined ? `${show(cpu)} | ${show(wall)}` : `– | ${show(value)}`
      lines.push(`| ${title} | ${say} | ${figures} | ${target} | ${target === '–' ? '' : met ? 'yes' : '**no**'} |`)
    }
  return lines.join('\n')
}

function ratio(n) {
  return n === undefined ? '–' : `${n.toFixed(2)}×`
}

function spread(figures, rounds) {
  if (figures === undefined) return '–'
  const { median, least, most } = figures
  return rounds === 1 ? digits(median) : `${digits(median)} (${digits(least)}–${digits(most)})`
}

function digits(n) {
  return n.toFixed(n < 100 ? 2 : 0)
}
