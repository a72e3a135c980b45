// An operator of the hub: azure-iothub's Registry.
//
//   call  {connectionString, method, arguments}   what the method's promise gives
'use strict';

const { Registry } = require('azure-iothub');

async function call(given) {
  return Registry.fromConnectionString(given.connectionString)[given.method](...given.arguments);
}

module.exports = { call };
