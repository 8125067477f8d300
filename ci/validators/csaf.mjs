// Is this a valid CSAF 2.0 document, to the public validator? Reads files, says what is wrong, exits 1 if anything is.
//
// The schema and the mandatory tests must hold; so must the optional ones that ask for no network and no program.
import { readFileSync } from 'node:fs'
import validateStrict from '@secvisogram/csaf-validator-lib/validateStrict.js'
import * as mandatory from '@secvisogram/csaf-validator-lib/mandatoryTests.js'
import * as optional from '@secvisogram/csaf-validator-lib/optionalTests.js'
import { csaf_2_0_strict } from '@secvisogram/csaf-validator-lib/schemaTests.js'

const tests = [csaf_2_0_strict, ...Object.values(mandatory), ...Object.values(optional)]
let wrong = 0
for (const name of process.argv.slice(2)) {
  const result = await validateStrict(tests, JSON.parse(readFileSync(name, 'utf8')))
  for (const test of result.tests) {
    for (const kind of ['errors', 'warnings']) {
      for (const one of test[kind] ?? []) {
        wrong += 1
        console.log(`${name}: ${test.name}: ${kind.slice(0, -1)}: ${one.instancePath}: ${one.message ?? ''}`)
      }
    }
  }
  if (!result.isValid) wrong += 1
}
process.exit(wrong === 0 ? 0 : 1)
