/** Jest's CommonJS, with its own module registry and no dynamic import. */
for (const program of ['core', 'email', 'isolation']) {
  test(`${program} loads and runs`, async () => {
    await require(`./${program}.cjs`).run()
  })
}
