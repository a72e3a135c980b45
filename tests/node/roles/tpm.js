// A device with a TPM: azure-iot-provisioning-device and azure-iot-security-tpm, on an emulated TPM 2.0.
//
//   register  {transport, host, idScope, port, registrationId?}   the registration's state; the hub's key is in the TPM then
//   send      {hub, deviceId, port, messages}                     how many messages the hub acknowledged, over MQTT
//
// `port` is the TPM's, on 127.0.0.1: raw commands, as swtpm takes them. It stands where the SDK would open /dev/tpm0.
'use strict';

const https = require('node:https');
https.globalAgent = new https.Agent({ keepAlive: false });
const net = require('node:net');

const tss = require('tss.js');
const { Client, Message } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { TpmAuthenticationProvider, TpmSecurityClient } = require('azure-iot-security-tpm');

const HEADER_BYTES = 10;

// What tss.js asks of a device (TpmDevice.js): its own speak to /dev/tpm0, to Windows, or to Microsoft's simulator.
class RawTpm {
  constructor(port) {
    this.port = port;
  }

  connect(then) {
    this.socket = net.connect(this.port, '127.0.0.1', () => then(null));
    return null;
  }

  dispatchCommand(command, then) {
    let answer = Buffer.alloc(0);
    this.socket.removeAllListeners('data');
    this.socket.on('data', (data) => {
      answer = Buffer.concat([answer, data]);
      if (answer.length >= HEADER_BYTES && answer.length >= answer.readUInt32BE(2)) then(null, answer);
    });
    this.socket.write(command);
  }

  close() {
    this.socket.end();
  }
}

function opened(port, registrationId) {
  const tpm = new tss.Tpm(true);
  tpm.device = new RawTpm(port);
  return { tpm, security: new TpmSecurityClient(registrationId, tpm) };
}

const provisioning = {
  amqp: () => require('azure-iot-provisioning-device-amqp').Amqp,
  'amqp-ws': () => require('azure-iot-provisioning-device-amqp').AmqpWs,
  http: () => require('azure-iot-provisioning-device-http').Http,
};

async function register(given) {
  const { tpm, security } = opened(given.port, given.registrationId);
  const Transport = provisioning[given.transport]();
  try {
    const client = ProvisioningDeviceClient.create(given.host, given.idScope, new Transport(), security);
    // Of a TPM the SDK passes the whole answer on, of the others the state in it.
    const result = await client.register();
    return result.registrationState ?? result;
  } finally {
    tpm.close();
  }
}

async function send(given) {
  const { tpm, security } = opened(given.port);
  const provider = TpmAuthenticationProvider.fromTpmSecurityClient(given.deviceId, given.hub, security);
  const client = Client.fromAuthenticationProvider(provider, Mqtt);
  client.setRetryPolicy(new (require('azure-iot-common').NoRetry)());
  try {
    await client.open();
    await Promise.all(given.messages.map((each) => client.sendEvent(new Message(each))));
    return given.messages.length;
  } finally {
    await client.close();
    tpm.close();
  }
}

module.exports = { register, send };
