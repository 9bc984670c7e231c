export function spin(): void {
  for (;;);
}

export function hog(): void {
  const kept = []
  for (;;) kept.push(new Array(10_000).fill(kept.length))
}

export function exit(): void {
  process.exit(1)
}
