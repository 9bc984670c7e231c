/** A module that needs more memory than there is, when it is loaded. */
const kept = []
for (let i = 0; i < 5_000; i++) kept.push(new Array(10_000).fill(i))

export const run = () => kept.length
