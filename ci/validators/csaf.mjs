// Is this a valid CSAF 2.0 document, to the public validator? Reads files, says what is wrong, exits 1 if anything is.
//
// The schema and the mandatory tests must hold, and so must the optional ones but four, which ask for what nobody here
// knows: 6.2.2 a remedy for a version that is not known, 6.2.3 a score, 6.2.10 a TLP label where the authority's form
// states none, 6.2.11 an address on the web for a report that has none.
import { readFileSync } from 'node:fs'
import validateStrict from '@secvisogram/csaf-validator-lib/validateStrict.js'
import * as mandatory from '@secvisogram/csaf-validator-lib/mandatoryTests.js'
import * as optional from '@secvisogram/csaf-validator-lib/optionalTests.js'
import { csaf_2_0_strict } from '@secvisogram/csaf-validator-lib/schemaTests.js'

const left = ['2', '3', '10', '11'].map((n) => `optionalTest_6_2_${n}`)
const asked = Object.entries(optional).filter(([name]) => !left.includes(name))
const tests = [csaf_2_0_strict, ...Object.values(mandatory), ...asked.map(([, test]) => test)]
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
