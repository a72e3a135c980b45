// An operator of the provisioning service: azure-iot-provisioning-service.
//
//   call   {connectionString, method, arguments}   what the method's promise gives
//   callBack  the same for runBulkEnrollmentOperation, whose promise is never settled: it answers a callback alone
//   query  {connectionString, method, arguments}   the pages of the query that the method makes
'use strict';

const { ProvisioningServiceClient } = require('azure-iot-provisioning-service');

async function call(given) {
  return ProvisioningServiceClient.fromConnectionString(given.connectionString)[given.method](...given.arguments);
}

async function callBack(given) {
  const client = ProvisioningServiceClient.fromConnectionString(given.connectionString);
  return new Promise((resolve, reject) => {
    client[given.method](...given.arguments, (error, body) => (error ? reject(error) : resolve(body)));
  });
}

async function query(given) {
  const asked = await call(given);
  const pages = [];
  while (asked.hasMoreResults) {
    // Without the token the SDK's promise asks for the first page again.
    const page = await asked.next(asked.continuationToken);
    pages.push(page.responseBody);
  }
  return pages;
}

module.exports = { call, callBack, query };
