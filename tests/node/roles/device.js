// A device: azure-iot-provisioning-device, then azure-iot-device on the same transport.
//
//   register  {transport, host, idScope, registrationId, payload?, <proof>}   the SDK's RegistrationResult
//   openTwin  {transport, hub, deviceId, <proof>}   its properties; then, by deviceId:
//   report {properties}, desired {version} (once a change has brought it), closeTwin
//   send      {transport, hub, deviceId, messages, <proof>}                   how many messages the hub acknowledged
//
// <proof> is {key} (base64) or {certificate, privateKey} (PEM). A message is {body, messageId?, correlationId?,
// contentType?, contentEncoding?, properties?}.
'use strict';

// The devices of one process share no connection.
const https = require('node:https');
https.globalAgent = new https.Agent({ keepAlive: false });

const { Client, Message } = require('azure-iot-device');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');

const provisioning = {
  mqtt: () => require('azure-iot-provisioning-device-mqtt').Mqtt,
  'mqtt-ws': () => require('azure-iot-provisioning-device-mqtt').MqttWs,
  amqp: () => require('azure-iot-provisioning-device-amqp').Amqp,
  'amqp-ws': () => require('azure-iot-provisioning-device-amqp').AmqpWs,
  http: () => require('azure-iot-provisioning-device-http').Http,
};

const hub = {
  mqtt: () => require('azure-iot-device-mqtt').Mqtt,
  'mqtt-ws': () => require('azure-iot-device-mqtt').MqttWs,
  amqp: () => require('azure-iot-device-amqp').Amqp,
  'amqp-ws': () => require('azure-iot-device-amqp').AmqpWs,
  http: () => require('azure-iot-device-http').Http,
};

function security(given) {
  return given.key === undefined
    ? new X509Security(given.registrationId, { cert: given.certificate, key: given.privateKey })
    : new SymmetricKeySecurityClient(given.registrationId, given.key);
}

async function register(given) {
  const Transport = provisioning[given.transport]();
  const client = ProvisioningDeviceClient.create(given.host, given.idScope, new Transport(), security(given));
  if (given.payload !== undefined) client.setProvisioningPayload(given.payload);
  return client.register();
}

function connectionString(given) {
  const proof = given.key === undefined ? 'x509=true' : `SharedAccessKey=${given.key}`;
  return `HostName=${given.hub};DeviceId=${given.deviceId};${proof}`;
}

function message(given) {
  const made = new Message(given.body);
  for (const name of ['messageId', 'correlationId', 'contentType', 'contentEncoding']) {
    if (given[name] !== undefined) made[name] = given[name];
  }
  for (const [name, value] of Object.entries(given.properties ?? {})) made.properties.add(name, value);
  return made;
}

async function send(given) {
  const client = Client.fromConnectionString(connectionString(given), hub[given.transport]());
  // Else the SDK tries again for minutes what the hub has refused.
  client.setRetryPolicy(new (require('azure-iot-common').NoRetry)());
  if (given.key === undefined) {
    const set = client.setOptions({ cert: given.certificate, key: given.privateKey });
    // The HTTP transport has set them by now, and never says so.
    if (given.transport !== 'http') await set;
  }
  try {
    await client.open();
    await Promise.all(given.messages.map((each) => client.sendEvent(message(each))));
    return given.messages.length;
  } finally {
    await client.close();
  }
}

const twins = new Map();

// Resolves once the twin was read and changes of its desired properties are listened to.
async function openTwin(given) {
  const client = Client.fromConnectionString(connectionString(given), hub[given.transport]());
  client.setRetryPolicy(new (require('azure-iot-common').NoRetry)());
  if (given.key === undefined) await client.setOptions({ cert: given.certificate, key: given.privateKey });
  await client.open();
  const twin = await client.getTwin();
  const changes = [];
  // Told of what was read too.
  await new Promise((resolve) => twin.on('properties.desired', (change) => resolve(changes.push(change))));
  twins.set(given.deviceId, { client, twin, changes });
  return twin.properties;
}

function report({ deviceId, properties }) {
  const { twin } = twins.get(deviceId);
  return new Promise((resolve, reject) =>
    twin.properties.reported.update(properties, (error) => (error ? reject(error) : resolve(null))));
}

// The desired properties, once a change of them has version `version`.
async function desired({ deviceId, version }) {
  const { twin, changes } = twins.get(deviceId);
  while (!changes.some((each) => each.$version === version)) await new Promise((resolve) => setTimeout(resolve, 20));
  return twin.properties.desired;
}

async function closeTwin({ deviceId }) {
  await twins.get(deviceId).client.close();
  return null;
}

module.exports = { register, send, openTwin, report, desired, closeTwin };
