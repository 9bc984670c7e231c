/** A module that takes a while to load. */
await new Promise((resolve) => setTimeout(resolve, 600))

export const run = (input) => input
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms, 'rested'))
export const spin = () => {
  for (;;);
}
