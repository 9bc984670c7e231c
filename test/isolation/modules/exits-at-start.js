/** A module that ends its worker when it is loaded. */
process.exit(4)
