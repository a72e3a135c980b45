// Azure's Node SDKs, driven by a test: each line of standard input is one call, each line of standard output its answer.
//
//   node clients.js device|service|registry
//   in   {"id": 1, "call": "register", "with": {...}}
//   out  {"id": 1, "result": ...}  or  {"id": 1, "error": {"name": "...", "message": "...", ...}}
//
// Calls run side by side, and answers come in the order in which they are ready. A role is a file of roles/: an object
// whose functions are the calls. What Node must trust is told it by NODE_EXTRA_CA_CERTS.
'use strict';

const readline = require('node:readline');
const { inspect } = require('node:util');

const role = require(`./roles/${process.argv[2]}.js`);

function say(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

// The SDKs' errors keep what matters in members of their own, some of which lead back to sockets.
function described(error) {
  if (!(error instanceof Error)) {
    // AMQP's own error, which the SDK passes on as rhea gives it; or whatever else it rejects a promise with.
    return { name: `${error?.condition ?? typeof error}`, message: `${error?.description ?? inspect(error)}` };
  }
  const plain = {};
  for (const [name, value] of Object.entries(error)) {
    if (['string', 'number', 'boolean'].includes(typeof value)) plain[name] = value;
  }
  if (typeof error.responseBody === 'object') plain.responseBody = error.responseBody;
  if (error.response && error.response.statusCode) plain.statusCode = error.response.statusCode;
  return { ...plain, name: error.name, message: error.message };
}

// Some promises of the SDKs give the body and Node's whole response beside it.
function body(result) {
  return result && result.httpResponse !== undefined ? result.responseBody : result;
}

async function answer(line) {
  const { id, call, with: given } = JSON.parse(line);
  try {
    say({ id, result: body(await role[call](given)) ?? null });
  } catch (error) {
    say({ id, error: described(error) });
  }
}

// An exception outside of a call is the SDK's own end, as a device's program would see it.
process.on('uncaughtException', (error) => {
  say({ id: null, error: described(error) });
  process.exit(1);
});

readline.createInterface({ input: process.stdin }).on('line', answer).on('close', () => process.exit(0));
